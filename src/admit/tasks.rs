//! Counts the tasks of batches that are being worked on, so that a stop can wait for those whose
//! clients have gone: a task that is cut off could not say what became of its events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The tasks of all workers.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    open: AtomicUsize,
    ended: Notify,
}

/// One task; it ends with this.
#[derive(Debug)]
pub struct Open(Arc<State>);

impl Tasks {
    /// One more.
    pub fn begin(&self) -> Open {
        self.state.open.fetch_add(1, Ordering::AcqRel);
        Open(Arc::clone(&self.state))
    }

    /// Waits until there is none.
    pub async fn idle(&self) {
        loop {
            let ended = self.state.ended.notified();
            if self.state.open.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_idle_when_the_last_task_has_ended() {
        let tasks = Tasks::default();
        tasks.idle().await;
        let (one, other) = (tasks.begin(), tasks.begin());
        let waiter = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.idle().await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(other);
        waiter.await.expect("it ends");
    }
}
