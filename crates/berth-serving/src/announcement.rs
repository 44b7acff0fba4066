//! What nodes tell each other when deployments change.
//!
//! Every change moves the counter `deployments` of the database on by one in its own transaction. The push through
//! coordination carries the new value with the organization that is concerned, so that a node that got every push reads
//! nothing of the others anew.

use std::fmt;
use std::str::FromStr;

use berth_domain::id::OrganizationId;

/// One message on the topic `deployments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The counter's value after the change.
    pub(crate) value: i64,
    /// Who is concerned; `None` is everybody, as when a published model changes.
    pub(crate) organization: Option<OrganizationId>,
}

impl fmt::Display for Announcement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.organization {
            Some(organization) => write!(out, "{}:{organization}", self.value),
            None => write!(out, "{}:*", self.value),
        }
    }
}

/// A message of another form: another version of Berth sent it. The reader should take everything as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an announcement of a form that this version does not know")]
pub(crate) struct Unknown;

impl FromStr for Announcement {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let (value, organization) = text.split_once(':').ok_or(Unknown)?;
        Ok(Self {
            value: value.parse().map_err(|_| Unknown)?,
            organization: match organization {
                "*" => None,
                organization => Some(organization.parse().map_err(|_| Unknown)?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::SystemClock;
    use berth_domain::random::SeededRandom;

    use super::*;

    #[test]
    fn announcements_survive_their_text_form() {
        let organization = OrganizationId::new(&SystemClock, &SeededRandom::new(1));
        for (organization, text) in [
            (Some(organization), format!("41:{organization}")),
            (None, "41:*".to_owned()),
        ] {
            let announcement = Announcement {
                value: 41,
                organization,
            };
            assert_eq!(announcement.to_string(), text);
            assert_eq!(text.parse(), Ok(announcement));
        }
    }

    #[test]
    fn other_texts_are_no_announcements() {
        let organization = OrganizationId::new(&SystemClock, &SeededRandom::new(1)).to_string();
        for text in ["", ":", "*", "41", "41:", "x:*", "41:acme", &organization] {
            assert_eq!(text.parse::<Announcement>(), Err(Unknown), "{text:?}");
        }
    }
}
