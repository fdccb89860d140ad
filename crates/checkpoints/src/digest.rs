//! The identity of a file, which reading it does not need: digesting takes longer than all else that loading does.

use crate::mapped::MappedFile;
use crate::sha256::sha256;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// SHA-256 of a file, in hexadecimal: computed when it is first asked for, once for all clones. Of several files, the
/// shards of a checkpoint, it is that of their digests in the order of their names.
///
/// Until then it keeps the file open, so that it is always that of the file which was read, also if there is another one
/// of its name by now.
#[derive(Clone)]
pub struct FileDigest(Arc<Lazy>);

struct Lazy {
    files: Vec<Arc<MappedFile>>,
    hexadecimal: OnceLock<String>,
}

impl FileDigest {
    pub(crate) fn of(files: Vec<Arc<MappedFile>>) -> Self {
        Self(Arc::new(Lazy { files, hexadecimal: OnceLock::new() }))
    }

    /// The digest. The first call reads the whole file; others that come meanwhile wait for it.
    pub fn get(&self) -> &str {
        let Lazy { files, hexadecimal } = &*self.0;
        hexadecimal.get_or_init(|| match files.as_slice() {
            [file] => file.sha256(),
            files => sha256(files.iter().map(|file| file.sha256()).collect::<String>().as_bytes()),
        })
    }
}

/// What is known to be the digest.
impl From<String> for FileDigest {
    fn from(hexadecimal: String) -> Self {
        Self(Arc::new(Lazy { files: Vec::new(), hexadecimal: hexadecimal.into() }))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.hexadecimal.get().map_or("(not computed yet)", String::as_str))
    }
}
