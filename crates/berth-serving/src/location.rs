//! Where workers and their runners are, from what workers say of themselves.

use berth_coordination::records::{ReplicaRecord, WorkerRecord};
use berth_transport::{Location, node};

/// Where the control service of `worker` is.
pub(crate) fn of_control(worker: &WorkerRecord) -> Location {
    on(worker, &worker.control_address, node::CONTROL.to_owned())
}

/// Where the runner of `replica`, which `worker` holds, is; `None` while it does not answer.
pub(crate) fn of_runner(worker: &WorkerRecord, replica: &ReplicaRecord) -> Option<Location> {
    let address = replica.address.as_deref()?;
    Some(on(worker, address, node::runner(&replica.id.to_string())))
}

fn on(worker: &WorkerRecord, address: &str, target: String) -> Location {
    Location {
        // An address without the scheme is one of a later version, which is reached by the endpoint.
        socket: address.strip_prefix("unix:").unwrap_or_default().into(),
        machine: worker.machine.clone(),
        endpoint: worker.endpoint.clone(),
        target,
    }
}
