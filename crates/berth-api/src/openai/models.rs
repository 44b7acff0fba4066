//! The models that a key may call.

pub(crate) mod list;
pub(crate) mod show;

use berth_serving::routing::Listing;
use berth_wire::openai::Model;

fn model(listing: &Listing) -> Model {
    Model::new(
        listing.name.as_str(),
        listing.created_at.timestamp(),
        listing.owned_by.as_str(),
    )
}
