//! Waiting for a condition, in place of sleeping.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is looked at again.
const PAUSE: Duration = Duration::from_millis(10);

/// A condition did not come true in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the condition did not come true within {limit:?}")]
pub struct TooLate {
    /// How long it was waited for.
    pub limit: Duration,
}

/// Waits until `condition` holds; fails after `limit`.
pub async fn wait_until<C, F>(limit: Duration, mut condition: C) -> Result<(), TooLate>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    wait_for(limit, || {
        let holds = condition();
        async { holds.await.then_some(()) }
    })
    .await
}

/// Waits until `find` finds something; fails after `limit`.
pub async fn wait_for<C, F, T>(limit: Duration, mut find: C) -> Result<T, TooLate>
where
    C: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let begin = Instant::now();
    loop {
        if let Some(found) = find().await {
            return Ok(found);
        }
        if begin.elapsed() >= limit {
            return Err(TooLate { limit });
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let asked = AtomicU32::new(0);
        let found = wait_for(Duration::from_mins(1), || async {
            let times = asked.fetch_add(1, Ordering::Relaxed);
            (times == 5).then_some("found")
        })
        .await;
        assert_eq!(found, Ok("found"));
        assert_eq!(asked.load(Ordering::Relaxed), 6);
    }

    #[tokio::test]
    async fn a_condition_that_stays_false_is_an_error() {
        let limit = Duration::from_millis(30);
        assert_eq!(
            wait_until(limit, || async { false }).await,
            Err(TooLate { limit })
        );
    }
}
