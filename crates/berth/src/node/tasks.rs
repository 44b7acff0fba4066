//! The background work inside a process: `berth tasks`, and `berth dev`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use berth_auth::letters::Letters;
use berth_config::Config;
use berth_domain::id::ReplicaId;
use berth_domain::work::{MailSend, ModelCheck, Work};
use berth_jobs::mail::Mailer;
use berth_jobs::model_check::ModelChecks;
use berth_jobs::placement::{self, Placement};
use berth_jobs::relay::{self, Relay};
use berth_jobs::sweeps::{self, Sweeps};
use berth_queue::amqp::Amqp;
use berth_queue::memory::{self, Memory};
use berth_queue::{Handler, Queue};
use berth_serving::proving::Prover;
use tokio_util::sync::CancellationToken;

use super::foundation::Foundation;
use super::options;
use super::shutdown::Shutdown;

/// Queues by RabbitMQ. It is reached for when it is first needed.
pub(crate) fn amqp(config: &Config) -> anyhow::Result<Arc<dyn Queue>> {
    Ok(Arc::new(
        Amqp::connect(&options::amqp(config)?).context("the setting `amqp.url`")?,
    ))
}

/// Queues in this process alone.
pub(crate) fn memory_queue() -> Arc<dyn Queue> {
    Arc::new(Memory::new(memory::Options::default()))
}

/// Begins to work; everything ends with `shutdown`. After coordination was lost, workers have `settle` to announce themselves.
///
/// Fails when the settings make no service.
pub(crate) fn begin(
    config: &Config,
    foundation: &Foundation,
    queue: &Arc<dyn Queue>,
    settle: Duration,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    // Any fresh id names this process alone.
    let holder = ReplicaId::new(&*foundation.clock, &*foundation.random).to_string();
    let Foundation {
        clock, random, store, ..
    } = foundation.clone();

    let mail = options::mail(config)?;
    let options = relay::Options {
        every: config.tasks.relay_interval.get(),
        // A letter that nobody sends must not vanish in a queue that nobody reads.
        withheld: match &mail {
            Some(_) => Vec::new(),
            None => vec![MailSend::KIND.to_owned()],
        },
        ..relay::Options::default()
    };
    let relay = Relay::new(store.clone(), Arc::clone(queue), Arc::clone(&clock), options);
    run(shutdown, "relay", |token| relay.run(token));

    let options = placement::Options {
        every: config.tasks.plan_interval.get(),
        lease: config.tasks.leader_lease.get(),
        settle,
        ..placement::Options::new(holder.clone())
    };
    let placement = Placement::new(store.clone(), foundation.fleet(), Arc::clone(&clock), options);
    run(shutdown, "placement", |token| placement.run(token));

    let prover = Prover::new(
        foundation.fleet(),
        foundation.peers.clone(),
        config.tasks.prove_timeout.get(),
    );
    let checks = ModelChecks::new(store.clone(), prover, Arc::clone(&clock), random);
    consume::<ModelCheck>(config.amqp.prefetch, queue, shutdown, Arc::new(checks))?;

    if let Some(options) = mail {
        let letters = Letters::new(store, options::peppers(config)?, Arc::clone(&clock));
        let mailer = Mailer::new(letters, clock, options).context("the section `mail` of the settings")?;
        consume::<MailSend>(config.amqp.prefetch, queue, shutdown, Arc::new(mailer))?;
    }

    let sweeps = Sweeps::new(
        parts(foundation),
        sweeps::Options::new(holder, config.tasks.prove_timeout.get()),
    );
    run(shutdown, "sweeps", |token| sweeps.run(token));
    Ok(())
}

fn parts(foundation: &Foundation) -> sweeps::Parts {
    let Foundation {
        clock,
        random,
        store,
        coordination,
        artifacts,
        peers: _,
    } = foundation.clone();
    sweeps::Parts {
        store,
        artifacts,
        coordination,
        clock,
        random,
    }
}

/// Runs a part until the wish to end.
fn run<F>(shutdown: &Shutdown, name: &'static str, part: impl FnOnce(CancellationToken) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let running = part(shutdown.token());
    shutdown.run(name, async move {
        running.await;
        anyhow::Ok(())
    });
}

/// Has one kind of work done until the wish to end; what is being done then is finished.
fn consume<W: Work>(
    prefetch: u16,
    queue: &Arc<dyn Queue>,
    shutdown: &Shutdown,
    handler: Arc<dyn Handler>,
) -> anyhow::Result<()> {
    let consumer = queue.consume(W::KIND, prefetch, handler);
    let consumer = consumer.with_context(|| format!("taking up work of the kind `{}`", W::KIND))?;
    run(shutdown, W::KIND, |token| async move {
        token.cancelled().await;
        consumer.stop().await;
    });
    Ok(())
}
