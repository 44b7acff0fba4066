//! Every form of message that was ever published is still understood. A sample is added when a form is born and never
//! changed afterwards.

use berth_domain::id::PasswordResetId;
use berth_domain::work::{KINDS, MailSend, ModelCheck};
use berth_queue::Message;
use berth_queue::message::Unreadable;

fn sample(text: &str) -> Message {
    serde_json::from_str(text).expect("the sample is a message")
}

#[test]
fn model_check_v1_is_understood() {
    let message = sample(include_str!("../golden/model.check.v1.json"));
    let work: ModelCheck = message.work().expect("the payload is understood");
    assert_eq!(work.version.to_string(), "ver_01kbd0vhr0a7xk3rp8m5nd6wcg");
    assert_eq!(
        message.organization.map(|id| id.to_string()).as_deref(),
        Some("org_01kbd0vhr0em3t55q9zwv2x0hb")
    );
    assert!(message.traceparent.is_some());
}

#[test]
fn mail_send_v1_is_understood() {
    let message = sample(include_str!("../golden/mail.send.v1.json"));
    let id: PasswordResetId = "pwr_01kbd0vhr0a7xk3rp8m5nd6wcg".parse().expect("an id");
    assert_eq!(
        message.work::<MailSend>().expect("the payload is understood"),
        MailSend::PasswordReset(id)
    );
    assert_eq!((message.organization, message.traceparent), (None, None));
}

#[test]
fn message_keeps_the_form_of_its_sample() {
    for text in [
        include_str!("../golden/model.check.v1.json"),
        include_str!("../golden/mail.send.v1.json"),
    ] {
        let expected: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(serde_json::to_value(sample(text)).expect("serializes"), expected);
    }
}

#[test]
fn every_kind_has_a_sample_of_each_form() {
    for kind in KINDS {
        let path = format!("{}/golden/{kind}.v1.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(sample(&text).kind, kind);
    }
}

#[test]
fn fields_of_a_later_version_are_ignored_but_a_later_form_is_not_misread() {
    let mut json: serde_json::Value =
        serde_json::from_str(include_str!("../golden/model.check.v1.json")).expect("JSON");
    json["priority"] = 3.into();
    json["payload"]["deadline"] = "soon".into();
    let mut message: Message = serde_json::from_value(json).expect("still a message");
    assert!(message.work::<ModelCheck>().is_ok());
    message.version = 2;
    assert!(matches!(
        message.work::<ModelCheck>(),
        Err(Unreadable::TooNew {
            version: 2,
            known: 1,
            ..
        })
    ));
}

#[test]
fn wrong_kind_and_wrong_payload_are_told_apart() {
    let mut message = sample(include_str!("../golden/model.check.v1.json"));
    assert!(matches!(
        message.work::<MailSend>(),
        Err(Unreadable::OtherKind {
            expected: "mail.send",
            ..
        })
    ));
    message.payload = serde_json::json!({ "version": "org_01kbd0vhr0em3t55q9zwv2x0hb" });
    assert!(matches!(
        message.work::<ModelCheck>(),
        Err(Unreadable::Malformed { .. })
    ));
}
