//! Plain float64, the oracle.
use super::{Engine, Exchange, FilterMode, Results, Seconds, Topology};
use crate::error::Result;
use crate::model::Model;
use std::sync::Arc;
/// Plain loops.
pub struct Reference {}
impl Reference {
    /// New.
    pub fn new(_model: Arc<Model>, _filter: FilterMode, _threads: usize) -> Result<Self> {
        Ok(Self {})
    }
}
impl Engine for Reference {
    fn set_topology(&mut self, _t: Topology) -> Result<()> {
        unimplemented!()
    }
    fn compute(
        &mut self,
        _p: &[[f64; 3]],
        _e: Option<&mut dyn Exchange>,
        _r: &mut Results,
    ) -> Result<()> {
        unimplemented!()
    }
    fn exchanges(&self) -> usize {
        0
    }
    fn seconds(&self) -> Seconds {
        Seconds::default()
    }
    fn memory(&self) -> usize {
        0
    }
    fn instruction_set(&self) -> &'static str {
        "float64"
    }
}
