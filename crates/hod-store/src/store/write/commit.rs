//! Writing the database file (`Database._write` in Spack's `database.py`).

use std::io::{self, Read, Write};
use std::path::Path;

use fs_err::File;
use hod_spec::Database;

use crate::Error;

/// Replaces the database in `directory`, and tells processes that have read it.
///
/// They read it again when `index_verifier` is another text than they know, or none. It is emptied
/// before the database is replaced and filled after: so whatever happens in between, nobody takes
/// an old database for the one there is.
pub(super) fn commit(directory: &Path, database: &Database) -> Result<(), Error> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let name = format!(
        "index.json.{}.{}.temp",
        host.to_string_lossy().replace('/', "_"),
        std::process::id()
    );
    let temporary = directory.join(name);
    let (index, verifier) = (directory.join("index.json"), directory.join("index_verifier"));
    let error = |path: &Path, source| Error::Write { path: path.to_owned(), source };

    let written = write(&temporary, database).map_err(|source| error(&temporary, source));
    let replaced = written.and_then(|()| {
        let token = token().map_err(|source| error(&verifier, source))?;
        let file = File::create(&verifier).map_err(|source| error(&verifier, source))?;
        fs_err::rename(&temporary, &index).map_err(|source| error(&index, source))?;
        Ok((file, token))
    });
    match replaced {
        Ok((mut file, token)) => {
            // The change is made. Without a text in this file Spack reads more than it must.
            let _ = file.write_all(token.as_bytes());
            Ok(())
        }
        Err(error) => {
            // What is left is of no use, and the first error says more.
            let _ = fs_err::remove_file(&temporary);
            Err(error)
        }
    }
}

fn write(path: &Path, database: &Database) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(database.render().as_bytes())?;
    // Network file systems tell only then that the disk or the quota is full.
    Ok(nix::unistd::close(file.into_file())?)
}

/// A random UUID (RFC 9562, version 4).
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = data_encoding::HEXLOWER.encode(&bytes);
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(groups.join("-"))
}
