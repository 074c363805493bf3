//! A line on stderr, where somebody watches and waits.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

pub(super) struct Progress {
    started: Instant,
    /// `None`: nobody watches.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    const DELAY: Duration = Duration::from_secs(2);
    const INTERVAL: Duration = Duration::from_millis(500);

    pub(super) fn new() -> Self {
        let started = Instant::now();
        let watched = io::stderr().is_terminal() && !super::quiet();
        let next = watched.then_some(started + Self::DELAY);
        Self { started, next, shown: false }
    }

    /// `share`: how much is done of all, where that is known.
    pub(super) fn show(&mut self, structures: usize, share: Option<f64>) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + Self::INTERVAL);
        self.shown = true;
        let seconds = (now - self.started).as_secs_f64();
        let share = share.map_or(String::new(), |share| format!(", {:.0} %", 100.0 * share));
        let _ = write!(
            io::stderr(),
            "\r{structures} structures{share}, {:.1} per second ",
            structures as f64 / seconds
        );
    }

    pub(super) fn finish(&self) {
        if self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}
