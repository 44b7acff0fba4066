//! Health and metrics of a process that serves no API.

use std::sync::Arc;

use berth_config::Config;
use berth_queue::Queue;
use berth_telemetry::metrics::Rendering;
use berth_telemetry::probes::{Part, Probes};

use super::foundation::Foundation;
use super::shutdown::Shutdown;
use crate::output;

/// Listens where the settings of `berth tasks` say, if they do, until `shutdown`; says where on the standard output.
///
/// Fails when the address cannot be listened on.
pub(crate) async fn begin(
    config: &Config,
    metrics: &Rendering,
    foundation: &Foundation,
    queue: &Arc<dyn Queue>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Some(listen) = config.tasks.listen else {
        return Ok(());
    };
    let probes = Probes::bind(listen, metrics.clone(), parts(foundation, queue)).await?;
    output::line(format_args!("metrics on http://{}", probes.address()))?;
    let token = shutdown.token();
    shutdown.run("probes", async move {
        probes.run(token.cancelled_owned()).await;
        anyhow::Ok(())
    });
    Ok(())
}

/// Everything that the background work needs.
fn parts(foundation: &Foundation, queue: &Arc<dyn Queue>) -> Vec<Part> {
    let Foundation {
        store,
        coordination,
        artifacts,
        ..
    } = foundation.clone();
    let queue = Arc::clone(queue);
    vec![
        Part::new("database", move || {
            let store = store.clone();
            async move { store.check().await }
        }),
        Part::new("coordination", move || {
            let coordination = Arc::clone(&coordination);
            async move { coordination.check().await }
        }),
        Part::new("queue", move || {
            let queue = Arc::clone(&queue);
            async move { queue.check().await }
        }),
        Part::new("artifacts", move || {
            let artifacts = artifacts.clone();
            async move { artifacts.check().await }
        }),
    ]
}
