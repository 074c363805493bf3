//! Archives of `torch.save` and of TorchScript: a zip file with one pickle, and one uncompressed
//! member for each storage.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::checkpoint::{self, Storages};
use super::pickle::{Classes, Pickle, Storage};
use super::tensors::{Budget, Tensors};
use crate::error::{Error, ErrorKind, Result};
use crate::model::script::MEMBER;

/// First bytes of a zip file.
pub const MAGIC: &[u8] = b"PK\x03\x04";

struct Archive<'a> {
    zip: Zip<'a>,
    /// The folder that torch puts around everything, with its slash.
    folder: String,
    big_endian: bool,
    storages: HashMap<String, Vec<u8>>,
}

type Zip<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// First bytes of what ends a zip archive: it has one of each at most, and random data hits neither
/// in a gigabyte.
const ENDS: [&[u8]; 2] = [b"PK\x05\x06", b"PK\x06\x06"];

fn open(file: &[u8]) -> Result<Zip<'_>> {
    // The crate looks at each of them, from there to the end of the file.
    let ends = file.windows(4).filter(|bytes| ENDS.contains(bytes)).count();
    if ends > 16 {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "expected the zip archive that torch.save writes, found {ends} ends of archives in \
                 one file: it is damaged, copy it again"
            ),
        ));
    }
    ZipArchive::new(Cursor::new(file)).map_err(|error| {
        Error::new(
            ErrorKind::Format,
            format!(
                "expected the zip archive that torch.save writes, found one that cannot be read \
                 ({error}): the file is truncated or damaged, copy it again"
            ),
        )
    })
}

/// The folder around everything, if there is what torch writes.
fn folder(zip: &Zip<'_>) -> Option<String> {
    zip.file_names().find_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then(|| folder.to_string())
    })
}

/// The description of a TorchScript model of any network, see [`Script`](crate::model::Script).
pub fn description(file: &[u8]) -> Result<Option<Vec<u8>>> {
    if !file.starts_with(MAGIC) {
        return Ok(None);
    }
    let mut zip = open(file)?;
    let Some(folder) = folder(&zip) else { return Ok(None) };
    let name = format!("{folder}{MEMBER}");
    match zip.index_for_name(&name) {
        Some(_) => member(&mut zip, &name, &mut Budget::new(file.len())).map(Some),
        None => Ok(None),
    }
}

/// Reads the archive; `true` if it is TorchScript.
pub fn read(file: &[u8]) -> Result<(Tensors, bool)> {
    let mut zip = open(file)?;
    let Some(folder) = folder(&zip) else {
        return Err(Error::new(
            ErrorKind::Format,
            "expected a zip archive with data.pkl, as torch.save writes it, found one without: \
             save the student with torch.save(model.state_dict(), \"student.pt\")",
        ));
    };
    let is_script = zip.index_for_name(&format!("{folder}constants.pkl")).is_some();
    let budget = &mut Budget::new(file.len());
    let big_endian = match zip.index_for_name(&format!("{folder}byteorder")) {
        Some(_) => member(&mut zip, &format!("{folder}byteorder"), budget)? == b"big",
        None => false,
    };
    let pickle = member(&mut zip, &format!("{folder}data.pkl"), budget)?;
    let mut archive = Archive { zip, folder, big_endian, storages: HashMap::new() };
    if is_script {
        let pickle = Pickle::read(&pickle, Classes::TorchScript)?;
        Ok((checkpoint::modules(&pickle, &mut archive, budget)?, true))
    } else {
        let pickle = Pickle::read(&pickle, Classes::None)?;
        Ok((checkpoint::state_dict(&pickle, &mut archive, budget)?, false))
    }
}

fn member(zip: &mut Zip<'_>, name: &str, budget: &mut Budget) -> Result<Vec<u8>> {
    let failed = |error: ZipError| {
        let reason = match error {
            ZipError::FileNotFound => "it is missing".to_string(),
            ZipError::UnsupportedArchive(_) => {
                "it is compressed or encrypted, which torch.save never does: write the file anew \
                 with torch.save"
                    .to_string()
            }
            other => other.to_string(),
        };
        Error::new(ErrorKind::Format, format!("archive member {name}: {reason}"))
    };
    let mut file = zip.by_name(name).map_err(failed)?;
    let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
    budget.spend(size)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size)?;
    // The size is what the archive's directory claims; never read more than was paid for.
    file.by_ref()
        .take(size as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(error.into()))?;
    if bytes.len() != size {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "archive member {name}: expected {size} bytes, found {}: the file is truncated",
                bytes.len()
            ),
        ));
    }
    // The checksum is compared where the member ends, which a read of its size alone does not
    // reach.
    let beyond = file.read(&mut [0]).map_err(|error| {
        Error::new(
            ErrorKind::Format,
            format!(
                "archive member {name}: {error}: the file is damaged, copy it again, or write it \
                 anew with torch.save and checksums (torch.serialization.set_crc32_options(True))"
            ),
        )
    })?;
    if beyond > 0 {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "archive member {name}: expected {size} bytes, found more: the file is damaged"
            ),
        ));
    }
    Ok(bytes)
}

impl Storages for Archive<'_> {
    fn bytes(&mut self, storage: &Storage, budget: &mut Budget) -> Result<&[u8]> {
        let size = storage.dtype.size();
        let name = format!("{}data/{}", self.folder, storage.key);
        if !self.storages.contains_key(&*storage.key) {
            let mut bytes = member(&mut self.zip, &name, budget)?;
            if self.big_endian {
                bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            self.storages.insert(storage.key.to_string(), bytes);
        }
        let bytes = self.storages.get(&*storage.key).map_or(&[][..], Vec::as_slice);
        if storage.count.checked_mul(size).is_none_or(|expected| expected > bytes.len()) {
            return Err(Error::new(
                ErrorKind::Format,
                format!(
                    "archive member {name}: expected {} values of {size} bytes, found {} bytes: \
                     the file is damaged",
                    storage.count,
                    bytes.len()
                ),
            ));
        }
        Ok(bytes)
    }
}
