//! Every hostile upload is refused with its code by the gate's own judgement, here without the process around it.

use berth_domain::digest::Sha256;
use berth_serving::gate::{Limits, REFUSAL_CODES, Task, Verdict, child};
use berth_test_support::hostile_models::hostile_uploads;

#[test]
fn hostile_uploads_are_refused_by_their_codes() {
    for upload in hostile_uploads().expect("are made") {
        let folder = tempfile::tempdir().expect("a folder");
        let (input, output) = (folder.path().join("input"), folder.path().join("output"));
        std::fs::write(&input, &upload.bytes).expect("writes");
        std::fs::create_dir(&output).expect("a folder");
        let verdict = child::judge(&Task {
            input,
            name: upload.file_name.to_owned(),
            digest: Sha256::of(&upload.bytes),
            size_bytes: upload.bytes.len() as u64,
            output,
            limits: Limits::default(),
            best_effort: false,
        });
        match verdict {
            Verdict::Refused(refusal) => {
                assert_eq!(refusal.code, upload.code, "{}: {refusal}", upload.name);
                assert!(
                    REFUSAL_CODES.contains(&upload.code),
                    "{} is not listed",
                    upload.code
                );
                assert!(refusal.message.len() < 1000, "{refusal}");
            }
            other => panic!("{} was not refused: {other:?}", upload.name),
        }
    }
}

#[test]
fn every_code_is_explained_in_the_guide() {
    let guide = include_str!("../../../docs/models.md");
    for code in REFUSAL_CODES {
        assert!(
            guide.contains(&format!("| `{code}` |")),
            "docs/models.md lacks {code}"
        );
    }
}
