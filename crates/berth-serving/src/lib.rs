//! Models, versions, deployments, routing and placement.
