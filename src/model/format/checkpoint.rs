//! From a pickled object to tensors and settings: finding the state dict in a checkpoint.

use super::pickle::{Id, Pickle, Storage, Value, View};
use super::tensors::{Budget, Tensor, Tensors, count, list};
use crate::error::{Error, ErrorKind, Result};

/// Names under which training scripts keep the weights, best first.
const WRAPPERS: [&str; 12] = [
    "model_state_dict",
    "state_dict",
    "model",
    "student",
    "net",
    "network",
    "params",
    "module",
    "shadow",
    "ema",
    "ema_state_dict",
    "ema_model_state_dict",
];

/// Nesting of containers that is followed.
const MAX_DEPTH: usize = 12;

/// Values that are looked at; containers that share each other make far more paths than bytes.
const MAX_STEPS: usize = 200_000;

/// Longer strings are no settings, and no names.
const MAX_TEXT: usize = 300;

/// Longer lists are no settings (the loss of every epoch, say).
const MAX_LIST: usize = 64;

/// Where the bytes of a storage come from.
pub trait Storages {
    /// All bytes of `storage`, little-endian.
    fn bytes(&mut self, storage: &Storage, budget: &mut Budget) -> Result<&[u8]>;
}

/// Reads the state dict of a checkpoint and the settings around it.
pub fn state_dict(
    pickle: &Pickle,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<Tensors> {
    let mut walk = Walk { pickle, steps: MAX_STEPS };
    let state = walk.find_state_dict(pickle.root, 0)?.ok_or_else(|| no_weights(pickle))?;
    let mut found = Tensors::default();
    for (name, id) in walk.children(state)? {
        if let Value::Tensor(view) = pickle.value(id) {
            insert(&mut found, name, view, storages, budget)?;
        }
    }
    walk.leaves(pickle.root, String::new(), 0, &mut |name, value| {
        keep_setting(&mut found, name, value, budget)
    })?;
    Ok(found)
}

/// Reads the tensors and settings of nested modules, names joined with dots.
pub fn modules(
    pickle: &Pickle,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<Tensors> {
    let mut walk = Walk { pickle, steps: MAX_STEPS };
    let mut found = Tensors::default();
    walk.leaves(pickle.root, String::new(), 0, &mut |name, value| match value {
        Value::Tensor(view) => insert(&mut found, name, view, storages, budget),
        _ => keep_setting(&mut found, name, value, budget),
    })?;
    if found.tensors.is_empty() {
        return Err(no_weights(pickle));
    }
    Ok(found)
}

fn no_weights(pickle: &Pickle) -> Error {
    let names: Vec<_> = pickle.children(pickle.root).into_iter().map(|child| child.0).collect();
    Error::new(
        ErrorKind::Format,
        format!(
            "expected a dictionary of tensors (a state dict), alone or under a name such as \
             model_state_dict, found {}: save model.state_dict()",
            list(&names)
        ),
    )
}

/// A way through nested containers, of bounded length.
struct Walk<'a> {
    pickle: &'a Pickle,
    steps: usize,
}

impl Walk<'_> {
    fn children(&mut self, id: Id) -> Result<Vec<(String, Id)>> {
        // Also entries that have no name and are no children take time.
        let entries = match self.pickle.value(id) {
            Value::Dict(entries) => entries.len(),
            Value::List(items) => items.len(),
            _ => 0,
        };
        self.steps = self.steps.checked_sub(1 + entries).ok_or_else(|| {
            Error::new(
                ErrorKind::Format,
                format!(
                    "found more than {MAX_STEPS} values beside the weights: save the weights \
                     alone, torch.save(model.state_dict(), \"student.pt\")"
                ),
            )
        })?;
        let children = self.pickle.children(id);
        if let Some((name, _)) = children.iter().find(|(name, _)| name.len() > MAX_TEXT) {
            return Err(Error::new(
                ErrorKind::Format,
                format!("found a name of {} bytes, expected at most {MAX_TEXT}", name.len()),
            ));
        }
        Ok(children.into_iter().map(|(name, child)| (name.into_owned(), child)).collect())
    }

    /// The dictionary that holds the weights: under one of the usual names, or itself, or the
    /// only one inside.
    fn find_state_dict(&mut self, id: Id, depth: usize) -> Result<Option<Id>> {
        if depth > MAX_DEPTH || !matches!(self.pickle.value(id), Value::Dict(_) | Value::List(_)) {
            return Ok(None);
        }
        let children = self.children(id)?;
        for wrapper in WRAPPERS {
            let inner = children.iter().find(|(name, _)| name == wrapper);
            if let Some(&(_, inner)) = inner
                && let Some(found) = self.find_state_dict(inner, depth + 1)?
            {
                return Ok(Some(found));
            }
        }
        if children.iter().any(|&(_, child)| matches!(self.pickle.value(child), Value::Tensor(_))) {
            return Ok(Some(id));
        }
        let mut found = Vec::new();
        for (name, child) in children {
            if !WRAPPERS.contains(&name.as_str())
                && let Some(inner) = self.find_state_dict(child, depth + 1)?
            {
                found.push((name, inner));
            }
        }
        match found.as_slice() {
            [] => Ok(None),
            [(_, inner)] => Ok(Some(*inner)),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                Err(Error::new(
                    ErrorKind::Format,
                    format!(
                        "found several dictionaries of tensors ({}), expected one: save the \
                         student's under the name model_state_dict",
                        list(&names)
                    ),
                ))
            }
        }
    }

    /// Visits all values that are no containers, with their path.
    fn leaves(
        &mut self,
        id: Id,
        path: String,
        depth: usize,
        visit: &mut dyn FnMut(String, &Value) -> Result<()>,
    ) -> Result<()> {
        match self.pickle.value(id) {
            Value::List(items) if items.len() > MAX_LIST => return Ok(()),
            Value::List(_) | Value::Dict(_) if depth > MAX_DEPTH => return Ok(()),
            Value::List(_) | Value::Dict(_) => {}
            value => return visit(path, value),
        }
        for (name, child) in self.children(id)? {
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            self.leaves(child, path, depth + 1, visit)?;
        }
        Ok(())
    }
}

fn keep_setting(
    found: &mut Tensors,
    name: String,
    value: &Value,
    budget: &mut Budget,
) -> Result<()> {
    let text = match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) if text.len() <= MAX_TEXT => text.to_string(),
        _ => return Ok(()),
    };
    budget.spend(name.len() + text.len())?;
    found.settings.insert(name, text);
    Ok(())
}

fn insert(
    found: &mut Tensors,
    name: String,
    view: &View,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<()> {
    let tensor = read_view(view, storages, budget).map_err(|error| error.within(&name))?;
    match found.tensors.insert(name.clone(), tensor) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            ErrorKind::Format,
            format!("found two tensors called {name}: the file is damaged"),
        )),
    }
}

/// Copies a strided view into a plain array.
fn read_view(view: &View, storages: &mut dyn Storages, budget: &mut Budget) -> Result<Tensor> {
    let total = count(&view.shape)?;
    budget.spend(total)?;
    let dtype = view.storage.dtype;
    let bytes = storages.bytes(&view.storage, budget)?;
    let held = bytes.len() / dtype.size();
    let outside = || {
        Error::new(
            ErrorKind::Format,
            format!(
                "a tensor of shape {:?}, strides {:?} and offset {} does not fit into its storage \
                 of {held} values: the file is damaged",
                view.shape, view.strides, view.offset
            ),
        )
    };
    let mut values = Vec::new();
    values.try_reserve_exact(total)?;
    let mut index = vec![0_usize; view.shape.len()];
    let mut at = view.offset;
    for _ in 0..total {
        let value = at
            .checked_mul(dtype.size())
            .and_then(|start| bytes.get(start..))
            .and_then(|bytes| dtype.read(bytes));
        values.push(value.ok_or_else(outside)?);
        // Counts `index` up, last dimension fastest, and moves `at` along.
        for (axis, place) in index.iter_mut().enumerate().rev() {
            let stride = view.strides[axis];
            *place += 1;
            if *place < view.shape[axis] {
                at = at.checked_add(stride).ok_or_else(outside)?;
                break;
            }
            at = at.wrapping_sub(stride.wrapping_mul(*place - 1));
            *place = 0;
        }
    }
    Ok(Tensor { shape: view.shape.clone(), values })
}
