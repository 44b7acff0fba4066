//! The numbers by which is planned.

/// The numbers by which is planned. Why they are what they are: `docs/decisions/0073-what-makes-place.md` and
/// `docs/decisions/0074-how-replicas-follow-demand.md`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How long a copy stays at least, once it answers.
    pub min_residency_ms: u64,
    /// A copy that was called within that time counts as in use.
    pub quiet_ms: u64,
    /// Who waited that long is given place by what is worth more, too.
    pub patience_ms: u64,
    /// How many copies a worker loads at once.
    pub loads_at_once: u32,
    /// After that time a second of use weighs half.
    pub half_life_ms: u64,
    /// A version that needs no copy while nobody calls it is unloaded after that time, where its deployment says no other.
    pub idle_unload_ms: u64,
    /// Requests under way for each copy, where its deployment says no other by the rows of a batch.
    pub target_concurrency: u32,
    /// Requests that wait that long in a runner call for one more copy.
    pub queue_wait_limit_us: u64,
    /// Over that time the number of requests under way is averaged.
    pub average_over_ms: u64,
    /// There are as many copies as were needed at any moment of that time.
    pub scale_down_after_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_residency_ms: 30_000,
            quiet_ms: 2_000,
            patience_ms: 60_000,
            loads_at_once: 4,
            half_life_ms: 600_000,
            idle_unload_ms: 600_000,
            target_concurrency: 16,
            queue_wait_limit_us: 100_000,
            average_over_ms: 3_000,
            scale_down_after_ms: 120_000,
        }
    }
}
