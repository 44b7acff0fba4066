//! `GET /v1/models`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::name::Handle;
use berth_serving::routing::Listing;
use berth_wire::openai::{List, Model};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::{Calling, InQuery};
use crate::list::{Direction, LARGEST_LIMIT};
use crate::openai::models::model;

/// Which part of the list is wanted. Clients add parameters of their own here, and what is not known is not looked at.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// At most so many models; without it, all.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, nullable = false)]
    limit: Option<String>,
    /// Only models after this one; the `last_id` of one page gives the next.
    #[param(nullable = false)]
    after: Option<String>,
    /// Only models before this one.
    #[param(nullable = false)]
    before: Option<String>,
    /// The order, by name; `asc` unless stated.
    #[param(value_type = Option<Direction>, nullable = false, inline)]
    order: Option<String>,
}

/// The same, understood.
#[derive(Debug)]
struct Part {
    limit: usize,
    after: Option<Handle>,
    before: Option<Handle>,
    order: Direction,
}

declare_errors!(Errors for OpenAi: [groups::CALLER, groups::CALLING], DuplicateParameter, InvalidValue);

/// List the models that the key may call
///
/// By name; all on one page unless `limit` is there.
#[utoipa::path(
    operation_id = "models_list_callable",
    tag = "inference",
    security(("bearer" = [])),
    params(Wanted),
    responses((status = 200, description = "The models.", body = List<Model>), Errors)
)]
#[get("/v1/models")]
pub(crate) async fn list(caller: Calling, wanted: InQuery<Wanted>) -> Result<Json<List<Model>>, Failure> {
    let part = wanted.0.understand()?;
    let listings = caller.inference.router().list(caller.key()).await?;
    let (listings, has_more) = part.of(listings);
    let models = listings.iter().map(model).collect();
    Ok(Json(List::new(models, has_more, |model: &Model| &model.id)))
}

impl Wanted {
    fn understand(self) -> Result<Part, Failure> {
        Ok(Part {
            limit: match self.limit {
                None => usize::MAX,
                Some(limit) => limit
                    .parse()
                    .ok()
                    .filter(|limit| (1..=LARGEST_LIMIT as usize).contains(limit))
                    .ok_or_else(|| refused("limit", &format!("a number from 1 to {LARGEST_LIMIT}")))?,
            },
            after: name("after", self.after)?,
            before: name("before", self.before)?,
            order: match self.order.as_deref() {
                None | Some("asc") => Direction::Asc,
                Some("desc") => Direction::Desc,
                Some(_) => return Err(refused("order", "`asc` or `desc`")),
            },
        })
    }
}

fn name(parameter: &str, text: Option<String>) -> Result<Option<Handle>, Failure> {
    text.map(|text| {
        text.parse()
            .map_err(|_| refused(parameter, "the id of a model of this list"))
    })
    .transpose()
}

fn refused(parameter: &str, expected: &str) -> Failure {
    let told = format!("`{parameter}` is {expected}");
    Failure::new(Code::InvalidValue, format!("{told}.")).field(format!("/{parameter}"), told)
}

impl Part {
    /// This part of `listings`, which are sorted by name, and whether more follow in the direction that was asked for.
    fn of(&self, mut listings: Vec<Listing>) -> (Vec<Listing>, bool) {
        let (above, below) = match self.order {
            Direction::Asc => (&self.after, &self.before),
            Direction::Desc => (&self.before, &self.after),
        };
        listings.retain(|listing| {
            above.as_ref().is_none_or(|above| listing.name > *above)
                && below.as_ref().is_none_or(|below| listing.name < *below)
        });
        if self.order == Direction::Desc {
            listings.reverse();
        }
        let more = listings.len().saturating_sub(self.limit);
        if self.before.is_some() && self.after.is_none() {
            // The page before a model is the nearest one.
            listings.drain(..more);
        } else {
            listings.truncate(self.limit);
        }
        (listings, more > 0)
    }
}
