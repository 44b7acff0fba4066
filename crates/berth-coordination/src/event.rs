//! Events: something changed, look again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many events may wait for one subscriber before it is told of a gap instead.
pub(crate) const EVENT_BUFFER: usize = 1024;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// API keys changed; the payload is the public id of one, or `*` for any.
    Keys,
    /// Deployments changed; the payload is the value of their counter, a colon, and the organization, or `*` for any.
    Deployments,
    /// Workers or replicas changed; the payload is the worker.
    Routes,
    /// What a worker should hold changed; the payload is the worker.
    Assignments,
    /// Somebody wants to know the way of a request; the payload is its id.
    Trails,
    /// Callers found no copy of a version; the payload is the node that saw it.
    Demand,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] = [
        Self::Keys,
        Self::Deployments,
        Self::Routes,
        Self::Assignments,
        Self::Demand,
        Self::Trails,
    ];

    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Deployments => "deployments",
            Self::Routes => "routes",
            Self::Assignments => "assignments",
            Self::Demand => "demand",
            Self::Trails => "trails",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A text that names no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no topic called `{0}`")]
pub struct UnknownTopic(pub String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        Self::ALL
            .into_iter()
            .find(|topic| topic.as_str() == text)
            .ok_or_else(|| UnknownTopic(text.to_owned()))
    }
}

/// What a subscriber is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something was published.
    Message {
        /// What it is about.
        topic: Topic,
        /// What the publisher said.
        payload: String,
    },
    /// Events may have been missed: read everything again. Told after the connection is back, so that a reader that
    /// reads now misses nothing.
    Gap,
}

/// The events of some topics. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    events: broadcast::Receiver<Event>,
    topics: Vec<Topic>,
}

impl Subscription {
    pub(crate) fn new(events: broadcast::Receiver<Event>, topics: &[Topic]) -> Self {
        Self {
            events,
            topics: topics.to_vec(),
        }
    }

    /// The next event; `None` when coordination itself has ended. Nothing is lost when the call is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.events.recv().await {
                Ok(Event::Message { topic, .. }) if !self.topics.contains(&topic) => {}
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(Event::Gap),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: Topic, payload: usize) -> Event {
        Event::Message {
            topic,
            payload: payload.to_string(),
        }
    }

    #[test]
    fn topic_texts_parse_back() {
        for topic in Topic::ALL {
            assert_eq!(topic.as_str().parse(), Ok(topic));
        }
    }

    #[tokio::test]
    async fn subscriber_that_falls_behind_is_told_of_a_gap() {
        let (sender, receiver) = broadcast::channel(4);
        let mut subscription = Subscription::new(receiver, &[Topic::Keys]);
        for number in 0..6 {
            sender.send(message(Topic::Keys, number)).expect("has a receiver");
        }
        assert_eq!(subscription.next().await, Some(Event::Gap));
        assert_eq!(subscription.next().await, Some(message(Topic::Keys, 2)));
    }

    #[tokio::test]
    async fn subscriber_hears_only_its_topics_and_every_gap() {
        let (sender, receiver) = broadcast::channel(8);
        let mut subscription = Subscription::new(receiver, &[Topic::Routes]);
        for event in [message(Topic::Keys, 1), Event::Gap, message(Topic::Routes, 2)] {
            sender.send(event).expect("has a receiver");
        }
        drop(sender);
        assert_eq!(subscription.next().await, Some(Event::Gap));
        assert_eq!(subscription.next().await, Some(message(Topic::Routes, 2)));
        assert_eq!(subscription.next().await, None);
    }
}
