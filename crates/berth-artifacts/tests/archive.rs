//! Archives that strangers made: good ones come out whole, bad ones are refused with their code.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use berth_artifacts::archive::{self, FREE_BYTES, Kind, UnpackLimits, Unpacked, unpack};
use berth_domain::digest::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A folder with an archive beside an empty folder to unpack it into.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("archive"), bytes).expect("writes");
        std::fs::create_dir(folder.path().join("into")).expect("a folder");
        Self { folder }
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn unpack(&self, limits: &UnpackLimits) -> Result<Unpacked, archive::Error> {
        let kind = archive::recognize(&self.archive())?.ok_or(archive::Error::Empty)?;
        let result = unpack(&self.archive(), kind, &self.folder.path().join("into"), limits);
        // Whatever happened, nothing lies beside the folder.
        let mut beside: Vec<_> = names(self.folder.path());
        beside.sort();
        assert_eq!(beside, ["archive", "into"]);
        result
    }
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .expect("lists")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

fn paths(bytes: &[u8]) -> Vec<String> {
    let unpacked = Case::new(bytes)
        .unpack(&UnpackLimits::default())
        .expect("unpacks");
    unpacked.files.into_iter().map(|file| file.path).collect()
}

fn code_within(bytes: &[u8], limits: &UnpackLimits) -> &'static str {
    let error = Case::new(bytes).unpack(limits).expect_err("is refused");
    assert!(error.to_string().len() < 1000, "{error}");
    error.code().unwrap_or("(none)")
}

fn code(bytes: &[u8]) -> &'static str {
    code_within(bytes, &UnpackLimits::default())
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(entries, SimpleFileOptions::default())
}

fn zip_with(entries: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        if name.ends_with('/') {
            writer.add_directory(*name, options).expect("adds");
        } else {
            writer.start_file(*name, options).expect("starts");
            writer.write_all(content).expect("writes");
        }
    }
    writer.finish().expect("finishes").into_inner()
}

/// A tar entry as it is said, whatever is wrong with it.
fn tar_entry(name: &str, kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("finishes")
}

fn tar_gz(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    gzip(&bytes)
}

fn tar_files(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, content)| {
            let kind = if name.ends_with('/') {
                EntryType::Directory
            } else {
                EntryType::Regular
            };
            tar_entry(name, kind, content)
        })
        .collect();
    tar_gz(&entries)
}

const FOLDER: &[(&str, &[u8])] = &[
    ("model/", b""),
    ("model/config.json", b"{}"),
    ("model/onnx/", b""),
    ("model/onnx/model.onnx", b"graph"),
];

#[test]
fn folders_come_out_whole_with_their_digests() {
    for bytes in [
        zip(FOLDER),
        zip_with(FOLDER, SimpleFileOptions::default().large_file(true)),
        tar_files(FOLDER),
    ] {
        let case = Case::new(&bytes);
        let unpacked = case.unpack(&UnpackLimits::default()).expect("unpacks");
        // The one folder that everything lay in is left out.
        assert!(unpacked.root.ends_with("into/model"));
        let [config, graph] = unpacked.files.as_slice() else {
            panic!("two files: {:?}", unpacked.files);
        };
        assert_eq!(
            (config.path.as_str(), graph.path.as_str()),
            ("config.json", "onnx/model.onnx")
        );
        assert_eq!((graph.digest, graph.size_bytes), (Sha256::of(b"graph"), 5));
        let content = std::fs::read(unpacked.root.join(&graph.path)).expect("reads");
        assert_eq!(content, b"graph");
    }
}

#[test]
fn several_tops_are_kept() {
    let entries: &[(&str, &[u8])] = &[("a/x", b"1"), ("b/x", b"2")];
    assert_eq!(paths(&zip(entries)), ["a/x", "b/x"]);
    assert_eq!(paths(&tar_files(entries)), ["a/x", "b/x"]);
    assert_eq!(paths(&zip(&[("a/x", b"1"), ("y", b"2")])), ["a/x", "y"]);
}

#[test]
fn what_systems_leave_behind_is_left_out() {
    let entries: &[(&str, &[u8])] = &[
        ("m/model.onnx", b"1"),
        ("__MACOSX/m/._model.onnx", b"2"),
        ("m/.DS_Store", b"3"),
        ("m/.git/config", b"4"),
        ("m/._config.json", b"5"),
    ];
    assert_eq!(paths(&zip(entries)), ["model.onnx"]);
    assert_eq!(paths(&tar_files(entries)), ["model.onnx"]);
}

#[test]
fn paths_that_lead_outside_are_refused() {
    for name in ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"] {
        assert_eq!(code(&zip(&[(name, b"x")])), "archive_path_escapes", "{name}");
        assert_eq!(
            code(&tar_files(&[(name, b"x")])),
            "archive_path_escapes",
            "{name}"
        );
    }
    for name in ["con", "a:b", "a\u{1}b"] {
        assert_eq!(code(&zip(&[(name, b"x")])), "archive_path_invalid", "{name}");
        assert_eq!(
            code(&tar_files(&[(name, b"x")])),
            "archive_path_invalid",
            "{name}"
        );
    }
}

#[test]
fn links_and_special_files_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("link", "/etc/passwd", SimpleFileOptions::default())
        .expect("adds");
    assert_eq!(
        code(&writer.finish().expect("finishes").into_inner()),
        "archive_link_refused"
    );
    let pipe = SimpleFileOptions::default().unix_permissions(0o644);
    let mut bytes = zip_with(&[("pipe", b"")], pipe);
    // The kind in the upper half of the external attributes of the directory's entry: a named pipe.
    let entry = find(&bytes, b"PK\x01\x02");
    bytes[entry + 40..entry + 42].copy_from_slice(&0o010_644_u16.to_le_bytes());
    assert_eq!(code(&bytes), "archive_special_file_refused");

    for (kind, expected) in [
        (EntryType::Symlink, "archive_link_refused"),
        (EntryType::Link, "archive_link_refused"),
        (EntryType::Char, "archive_special_file_refused"),
        (EntryType::Block, "archive_special_file_refused"),
        (EntryType::Fifo, "archive_special_file_refused"),
        (EntryType::GNUSparse, "archive_unsupported"),
        (EntryType::new(b'V'), "archive_unsupported"),
    ] {
        assert_eq!(code(&tar_gz(&[tar_entry("x", kind, b"")])), expected, "{kind:?}");
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
        .expect("is there")
}

#[test]
fn conflicting_entries_are_refused() {
    let twice = tar_files(&[("a", b"1"), ("./a", b"2")]);
    let file_as_folder = tar_files(&[("a", b"1"), ("a/b", b"2")]);
    let folder_as_file = tar_files(&[("a/b", b"1"), ("a", b"2")]);
    for bytes in [twice, file_as_folder, folder_as_file] {
        assert_eq!(code(&bytes), "archive_duplicate_path");
    }
    assert_eq!(
        code(&zip(&[("a", b"1"), ("a/b", b"2")])),
        "archive_duplicate_path"
    );
    assert_eq!(
        code(&zip(&[("a", b"1"), ("./a", b"2")])),
        "archive_duplicate_path"
    );
    // The writer does not write a name twice, so the second is renamed in the bytes.
    let mut bytes = zip(&[("aa", b"1"), ("ab", b"2")]);
    while let Some(place) = bytes.windows(2).position(|window| window == b"ab") {
        bytes[place + 1] = b'a';
    }
    assert_eq!(code(&bytes), "archive_duplicate_path");
}

#[test]
fn limits_hold() {
    let limits = UnpackLimits {
        entries: 3,
        file_bytes: 100,
        total_bytes: 250,
        ratio: 200,
        path_bytes: 20,
        depth: 2,
    };
    let big = [7; 101];
    let full = [7; 100];
    for (expected, entries) in [
        (
            "archive_too_many_files",
            &[("a", &b""[..]), ("b", b""), ("c", b""), ("d", b"")][..],
        ),
        ("archive_file_too_large", &[("a", &big)]),
        ("archive_too_large", &[("a", &full), ("b", &full), ("c", &full)]),
        ("archive_path_invalid", &[("aaaaaaaaaaaaaaaaaaaaa", b"")]),
        ("archive_path_invalid", &[("a/b/c/d", b"")]),
    ] {
        assert_eq!(code_within(&zip(entries), &limits), expected);
        assert_eq!(code_within(&tar_files(entries), &limits), expected);
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let zeros = vec![0; usize::try_from(FREE_BYTES).expect("fits") + 1];
    assert_eq!(code(&zip(&[("zeros", &zeros)])), "archive_bomb");
    assert_eq!(code(&tar_files(&[("zeros", &zeros)])), "archive_bomb");
    // Many files that share their bytes: each looks harmless.
    let part = &zeros[..zeros.len() / 20];
    let names: Vec<_> = (0..21).map(|number| format!("part-{number}")).collect();
    let parts: Vec<_> = names.iter().map(|name| (name.as_str(), part)).collect();
    assert_eq!(code(&zip(&parts)), "archive_bomb");
}

#[test]
fn declared_sizes_that_lie_are_found_out() {
    // Declares 4 bytes where 100,000 come out: in the directory and before the file.
    let mut bytes = zip(&[("a", &vec![b'x'; 100_000])]);
    let real = 100_000_u32.to_le_bytes();
    while let Some(place) = bytes.windows(4).position(|window| window == real) {
        bytes[place..place + 4].copy_from_slice(&4_u32.to_le_bytes());
    }
    assert_eq!(code(&bytes), "archive_malformed");
}

#[test]
fn every_truncation_is_refused() {
    for bytes in [zip(FOLDER), tar_files(FOLDER)] {
        for length in 4..bytes.len() {
            let code = code(&bytes[..length]);
            assert!(
                matches!(code, "archive_truncated" | "archive_malformed"),
                "{length} of {}: {code}",
                bytes.len()
            );
        }
        assert_eq!(code(&bytes[..bytes.len() / 2]), "archive_truncated");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    for mut bytes in [zip(FOLDER), tar_files(FOLDER)] {
        bytes.extend_from_slice(b"more than the format knows of");
        assert_eq!(code(&bytes), "archive_malformed");
    }
    let mut inside = tar_entry("a", EntryType::Regular, b"1");
    inside.resize(inside.len() + 1024, 0);
    inside.extend_from_slice(b"more");
    assert_eq!(code(&gzip(&inside)), "archive_malformed");
}

#[test]
fn zip_that_hides_a_file_is_refused() {
    // The name before the file differs from the one in the directory.
    let mut bytes = zip(&[("name", b"x")]);
    let place = find(&bytes, b"name");
    bytes[place] = b'N';
    assert_eq!(code(&bytes), "archive_malformed");
}

#[test]
fn other_formats_are_named() {
    let mut plain_tar = tar_entry("a", EntryType::Regular, b"1");
    plain_tar.resize(plain_tar.len() + 1024, 0);
    for bytes in [
        &b"7z\xBC\xAF\x27\x1C\0\0"[..],
        b"Rar!\x1A\x07\x01\0",
        b"\xFD7zXZ\0\0\0",
        b"\x28\xB5\x2F\xFD\0\0",
        b"BZh91AY",
        &plain_tar,
    ] {
        assert_eq!(code(bytes), "archive_unsupported");
    }
    let mut encrypted = zip(&[("a", b"x")]);
    for magic in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        let flags = find(&encrypted, magic) + if magic[2] == 3 { 6 } else { 8 };
        encrypted[flags] |= 1;
    }
    assert_eq!(code(&encrypted), "archive_encrypted");
    let mut squeezed = zip_with(
        &[("a", b"x")],
        SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
    );
    for magic in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        let method = find(&squeezed, magic) + if magic[2] == 3 { 8 } else { 10 };
        squeezed[method] = 14;
    }
    assert_eq!(code(&squeezed), "archive_unsupported");
    assert_eq!(
        code(&gzip(b"a model that was only compressed")),
        "archive_malformed"
    );
    assert_eq!(code(&gzip(&[7; 2000])), "archive_malformed");
}

#[test]
fn archives_without_files_are_refused() {
    assert_eq!(code(&zip(&[])), "archive_empty");
    assert_eq!(code(&zip(&[("only/", b"")])), "archive_empty");
    assert_eq!(code(&tar_files(&[("only/", b"")])), "archive_empty");
    assert_eq!(code(&tar_gz(&[])), "archive_empty");
}

#[test]
fn files_that_are_no_archives_are_told_apart() {
    for bytes in [&b""[..], b"\x08\x08\x12\x05", b"PK", b"GIF89a"] {
        let case = Case::new(bytes);
        assert_eq!(archive::recognize(&case.archive()).expect("reads"), None);
    }
    let case = Case::new(&zip(FOLDER));
    assert_eq!(
        archive::recognize(&case.archive()).expect("reads"),
        Some(Kind::Zip)
    );
}

/// One extended attribute.
fn record(key: &str, value: &str) -> String {
    let body = format!(" {key}={value}\n");
    // The length counts its own digits.
    let length = (body.len()..body.len() + 5).find(|length| length.to_string().len() + body.len() == *length);
    format!("{}{body}", length.expect("there is one"))
}

#[test]
fn size_that_no_archive_can_have_is_malformed() {
    for size in [u64::MAX, u64::MAX - 510] {
        let size = record("size", &size.to_string());
        for (name, kind) in [
            ("file", EntryType::Regular),
            ("folder/", EntryType::Directory),
            ("__MACOSX/debris", EntryType::Regular),
        ] {
            let entries = [
                tar_entry("pax", EntryType::XHeader, size.as_bytes()),
                tar_entry(name, kind, b""),
            ];
            assert_eq!(code(&tar_gz(&entries)), "archive_malformed", "{name} of {size}");
        }
    }
    // In the header itself, as a number of eight bytes.
    let mut entry = tar_entry("folder/", EntryType::Directory, b"");
    entry[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut header = Header::from_byte_slice(entry.as_slice()[..512].try_into().expect("a block")).clone();
    header.set_cksum();
    entry[..512].copy_from_slice(header.as_bytes());
    assert_eq!(code(&tar_gz(&[entry])), "archive_malformed");
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let long = format!("{}/model.onnx", "folder".repeat(30));
    let mut name = long.clone().into_bytes();
    name.push(0);
    let gnu = [
        tar_entry("././@LongLink", EntryType::GNULongName, &name),
        tar_entry("cut", EntryType::Regular, b"1"),
        tar_entry("other", EntryType::Regular, b"2"),
    ];
    let attributes = record("mtime", "1.5") + &record("path", &long);
    let pax = [
        tar_entry("pax", EntryType::XHeader, attributes.as_bytes()),
        tar_entry("cut", EntryType::Regular, b"1"),
        tar_entry("other", EntryType::Regular, b"2"),
    ];
    for entries in [&gnu, &pax] {
        assert_eq!(paths(&tar_gz(entries)), [long.as_str(), "other"]);
    }
    let escaping = record("path", "../evil");
    let hidden = [
        tar_entry("pax", EntryType::XHeader, escaping.as_bytes()),
        tar_entry("harmless", EntryType::Regular, b"1"),
    ];
    assert_eq!(code(&tar_gz(&hidden)), "archive_path_escapes");
    let endless = tar_entry("././@LongLink", EntryType::GNULongName, &vec![b'a'; 100_000]);
    assert_eq!(code(&tar_gz(&[endless])), "archive_malformed");
    for broken in ["x path=a\n", "99 path=a\n", "7 path=a\n", "0 \n"] {
        let entry = tar_entry("pax", EntryType::XHeader, broken.as_bytes());
        assert_eq!(code(&tar_gz(&[entry])), "archive_malformed", "{broken:?}");
    }
}

fn answered(bytes: &[u8]) {
    if let Err(error) = Case::new(bytes).unpack(&UnpackLimits::default()) {
        assert!(error.code().is_some(), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn damaged_archives_are_answered(
        is_zip in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = if is_zip { zip(FOLDER) } else { tar_files(FOLDER) };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        answered(&bytes);
    }

    #[test]
    fn damaged_tars_inside_good_compression_are_answered(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut tar: Vec<_> = [
            tar_entry("a/b", EntryType::Regular, b"content"),
            tar_entry("pax", EntryType::XHeader, b"9 path=c\n"),
            tar_entry("d", EntryType::Regular, b"content"),
        ].concat();
        tar.resize(tar.len() + 1024, 0);
        for (place, byte) in changes {
            let place = place.index(tar.len());
            tar[place] = byte;
        }
        answered(&gzip(&tar));
    }
}
