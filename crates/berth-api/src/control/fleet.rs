//! The machines that hold models, and what is where: for operators.

pub(crate) mod placements;
pub(crate) mod workers;
