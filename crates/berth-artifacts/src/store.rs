//! The artifact store: every file of every model, by organization and digest.
//!
//! An object lies at `<organization>/<first two digits>/<digest>`. The organization is part of the name, so a digest
//! never stands in for bytes that the organization has not sent itself.

mod folder;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::secret::Secret;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Location;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _,
    PutPayload, RetryConfig,
};
use object_store::{MultipartUpload, WriteMultipart};

use crate::blocking::blocking;
use crate::error::Error;
use crate::hashing::digest_file;
use crate::staging::Staged;

/// Files up to this size are sent at once, larger ones in parts.
const PART_BYTES: u64 = 8 << 20;
/// Parts that are on their way at once; with the part size this bounds the memory of an upload.
const PARTS_AT_ONCE: usize = 2;
/// S3 takes at most 10,000 parts.
const MOST_PARTS: u64 = 9_000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);

/// A server that is away for a moment is waited for; who uploads should not wait for one that is away for long.
const RETRIES: usize = 6;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// The code by which S3 says that there is no such bucket.
const NO_BUCKET: &str = "<Code>NoSuchBucket</Code>";

/// Where artifacts are kept.
#[derive(Debug, Clone)]
pub enum Options {
    /// In a folder of the local disk, or of a disk that is mounted on every machine.
    Folder(PathBuf),
    /// In a bucket.
    S3(S3Options),
}

/// A bucket of S3, or of something that speaks like it. The process must have a default TLS provider.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The address, if it is not Amazon's: `https://host:port`.
    pub endpoint: Option<String>,
    /// What object names begin with, so that several installations share a bucket.
    pub prefix: Option<String>,
    /// Access key id and secret. Without them the environment of the process is asked, as Amazon's own tools do
    /// (variables, web identity, instance metadata).
    pub credentials: Option<(String, Secret)>,
    /// Whether `http://` endpoints are allowed.
    pub allow_http: bool,
    /// Whether the bucket is part of the host name rather than of the path.
    pub virtual_hosted_style: bool,
}

/// The artifact store. Clones share its connections.
#[derive(Clone)]
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
    /// Set when the store is a folder: then a file on the same disk becomes an object without being copied.
    folder: Option<Arc<Path>>,
}

/// An object that is being read.
pub struct Object {
    /// Size of the whole object.
    pub size_bytes: u64,
    /// Its bytes, from the offset that was asked for.
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

impl fmt::Debug for ArtifactStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ArtifactStore({})", self.objects)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Object")
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

impl ArtifactStore {
    /// Opens the store. A folder is made if it is not there; a bucket is not contacted yet.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        match options {
            Options::Folder(folder) => {
                let folder = folder.clone();
                let (objects, folder) = blocking(move || folder::open(&folder)).await?;
                Ok(Self {
                    objects: Arc::new(objects),
                    folder: Some(folder.into()),
                })
            }
            Options::S3(options) => Ok(Self {
                objects: s3(options)?,
                folder: None,
            }),
        }
    }

    /// Stores a staged upload for `organization`. Storing what is there already changes nothing. When this returns, the
    /// file is safe.
    pub async fn put_staged(&self, organization: OrganizationId, staged: &Staged) -> Result<(), Error> {
        self.put(organization, staged.digest(), staged.path(), staged.size_bytes())
            .await
    }

    /// Stores the file at `path` for `organization`, after checking that it has the `digest`. It must not be changed
    /// afterwards: a folder store may keep it without copying. When this returns, the file is safe.
    pub async fn put_file(
        &self,
        organization: OrganizationId,
        digest: Sha256,
        path: &Path,
    ) -> Result<(), Error> {
        let owned = path.to_owned();
        let (found, size_bytes) =
            blocking(move || digest_file(&owned).map_err(Error::disk("read", &owned))).await?;
        if found != digest {
            return Err(Error::WrongDigest {
                expected: digest,
                found,
            });
        }
        self.put(organization, digest, path, size_bytes).await
    }

    /// The size of a file, if it is stored.
    pub async fn size(&self, organization: OrganizationId, digest: Sha256) -> Result<Option<u64>, Error> {
        let location = location(organization, digest);
        match self.objects.head(&location).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("look for", &location)(source)),
        }
    }

    /// Whether a file is stored.
    pub async fn exists(&self, organization: OrganizationId, digest: Sha256) -> Result<bool, Error> {
        Ok(self.size(organization, digest).await?.is_some())
    }

    /// Reads a file from `offset_bytes` on, which must lie before its end. The bytes are not checked here.
    pub async fn read(
        &self,
        organization: OrganizationId,
        digest: Sha256,
        offset_bytes: u64,
    ) -> Result<Object, Error> {
        let location = location(organization, digest);
        let options = GetOptions::new().with_range(Some(GetRange::Offset(offset_bytes)));
        // An offset of 0 would be no range in an empty file.
        let options = if offset_bytes == 0 {
            GetOptions::new()
        } else {
            options
        };
        let found = match self.objects.get_opts(&location, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(Error::Missing { digest }),
            Err(source) => return Err(failed("read", &location)(source)),
        };
        let size_bytes = found.meta.size;
        let bytes = match found.payload {
            GetResultPayload::File(file, path) => folder::read(file, path, offset_bytes),
            GetResultPayload::Stream(stream) => stream
                .map(move |chunk| chunk.map_err(failed("read", &location)))
                .boxed(),
        };
        Ok(Object { size_bytes, bytes })
    }

    /// Deletes a file. Deleting what is not there changes nothing.
    pub async fn delete(&self, organization: OrganizationId, digest: Sha256) -> Result<(), Error> {
        let location = location(organization, digest);
        match self.objects.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", &location)(source)),
        }
    }

    /// Asks the store for a sign of life. Fails when it cannot be reached, does not know the credentials, or has no such
    /// bucket.
    pub async fn check(&self) -> Result<(), Error> {
        let nothing = Location::from("health");
        // The answer to a `HEAD` has no body, and only the body tells a missing bucket from a missing object.
        match self.objects.get(&nothing).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { ref source, .. })
                if !source.to_string().contains(NO_BUCKET) =>
            {
                Ok(())
            }
            Err(source) => Err(failed("look for", &nothing)(source)),
        }
    }

    async fn put(
        &self,
        organization: OrganizationId,
        digest: Sha256,
        path: &Path,
        size_bytes: u64,
    ) -> Result<(), Error> {
        if self.size(organization, digest).await? == Some(size_bytes) {
            return Ok(());
        }
        let location = location(organization, digest);
        if let Some(folder) = &self.folder {
            let (folder, path) = (Arc::clone(folder), path.to_owned());
            return blocking(move || folder::put(&folder, &location, &path)).await;
        }
        if size_bytes <= PART_BYTES {
            let bytes = tokio::fs::read(path).await.map_err(Error::disk("read", path))?;
            self.objects
                .put(&location, PutPayload::from(bytes))
                .await
                .map_err(failed("store", &location))?;
            return Ok(());
        }
        let upload = self
            .objects
            .put_multipart(&location)
            .await
            .map_err(failed("store", &location))?;
        send_parts(upload, path, &location, size_bytes).await
    }
}

async fn send_parts(
    upload: Box<dyn MultipartUpload>,
    path: &Path,
    location: &Location,
    size_bytes: u64,
) -> Result<(), Error> {
    let part_bytes = PART_BYTES.max(size_bytes.div_ceil(MOST_PARTS));
    let mut parts =
        WriteMultipart::new_with_chunk_size(upload, usize::try_from(part_bytes).unwrap_or(usize::MAX));
    let sent = async {
        let open = std::fs::File::open(path).map_err(Error::disk("read", path))?;
        let mut chunks = folder::read(open, path.to_owned(), 0);
        while let Some(chunk) = chunks.next().await {
            parts
                .wait_for_capacity(PARTS_AT_ONCE)
                .await
                .map_err(failed("store", location))?;
            parts.put(chunk?);
        }
        Ok(())
    }
    .await;
    match sent {
        Ok(()) => parts.finish().await.map(drop).map_err(failed("store", location)),
        Err(error) => {
            // What stays behind in the bucket costs money but does no harm; the first error says what happened.
            if let Err(left) = parts.abort().await {
                tracing::warn!(error = %left, %location, "parts of an upload that failed could not be removed");
            }
            Err(error)
        }
    }
}

fn location(organization: OrganizationId, digest: Sha256) -> Location {
    let digest = digest.to_string();
    Location::from_iter([organization.to_string().as_str(), &digest[..2], &digest])
}

fn failed(attempted: &'static str, location: &Location) -> impl Fn(object_store::Error) -> Error + use<> {
    let location = location.to_string();
    move |source| Error::Store {
        attempted,
        location: location.clone(),
        source,
    }
}

fn s3(options: &S3Options) -> Result<Arc<dyn ObjectStore>, Error> {
    let builder = match &options.credentials {
        Some((id, secret)) => AmazonS3Builder::new()
            .with_access_key_id(id)
            .with_secret_access_key(secret.expose()),
        None => AmazonS3Builder::from_env(),
    };
    let mut builder = builder
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_client_options(
            // No limit on the whole: files have any size. A server that says nothing for so long is dead.
            ClientOptions::new()
                .with_timeout_disabled()
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_read_timeout(SILENCE_TIMEOUT)
                .with_allow_http(options.allow_http),
        )
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                max_backoff: LONGEST_PAUSE,
                ..BackoffConfig::default()
            },
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        })
        // Files are deleted one by one, and not everything that speaks like S3 knows the other way.
        .with_disable_bulk_delete(true)
        .with_virtual_hosted_style_request(options.virtual_hosted_style);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let bucket = builder
        .build()
        .map_err(|source| Error::Configuration { source })?;
    Ok(match &options.prefix {
        Some(prefix) => Arc::new(PrefixStore::new(bucket, prefix.as_str())),
        None => Arc::new(bucket),
    })
}
