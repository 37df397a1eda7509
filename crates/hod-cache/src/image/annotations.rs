//! Notes on a manifest (image-spec `annotations.md`), which only OCI manifests have.

use std::collections::BTreeMap;

use hod_spec::Spec;
use hod_store::Store;

use super::Ground;

const PREFIX: &str = "org.opencontainers.image.";

/// What can be said of an image of `roots`. For one of a single spec, what it is.
///
/// `created` is when the packages were installed, the last of them: no clock is looked at, so the
/// same store gives the same manifest tomorrow.
pub(super) fn annotations(
    store: &Store,
    roots: &[&Spec],
    is_package: bool,
    ground: Ground<'_>,
) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    let mut note = |key: &str, value: String| {
        notes.insert(format!("{PREFIX}{key}"), value);
    };
    if let ([spec], true) = (roots, is_package) {
        note("description", spec.describe());
        note("title", spec.name.to_string());
        note("version", spec.version.to_string());
    }
    let times = roots.iter().filter_map(|spec| store.record(&spec.hash));
    let newest = times.map(|record| record.installation_time).fold(0.0, f64::max);
    if let Some(time) = rfc3339(newest) {
        note("created", time);
    }
    ground_notes(ground, &mut notes);
    notes
}

/// What can be said of any image: where its sources are, and what it stands on.
pub(super) fn ground_notes(ground: Ground<'_>, notes: &mut BTreeMap<String, String>) {
    let mut note = |key: &str, value: String| {
        notes.insert(format!("{PREFIX}{key}"), value);
    };
    if let Some(source) = &ground.run.source {
        note("source", source.clone());
    }
    if let Some(base) = ground.base {
        note("base.digest", base.digest().to_string());
        if let Some(name) = &base.name {
            note("base.name", name.clone());
        }
    }
}

/// The name of an image for `base.name`, as docker and podman write it; images of a directory
/// have a name on this machine alone.
pub(super) fn base_name(location: &str, name: &str) -> Option<String> {
    let repository =
        location.strip_prefix("oci://").or_else(|| location.strip_prefix("oci+http://"))?;
    let between = if name.starts_with("sha256:") { '@' } else { ':' };
    Some(format!("{repository}{between}{name}"))
}

/// Seconds since 1970 as RFC 3339 has them, in UTC and without fraction; `None` for what no clock
/// of an installation says: databases without the time have a zero.
fn rfc3339(time: f64) -> Option<String> {
    // The year 10000 would need another format.
    if !(1.0..253_402_300_800.0).contains(&time) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let time = time as i64;
    let (days, seconds) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar (Howard Hinnant,
/// `chrono-Compatible Low-Level Date Algorithms`, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1.0, Some("1970-01-01T00:00:01Z"))]
    #[case(951_782_400.0, Some("2000-02-29T00:00:00Z"))]
    #[case(1_763_797_923.75, Some("2025-11-22T07:52:03Z"))]
    #[case(4_107_542_399.0, Some("2100-02-28T23:59:59Z"))]
    #[case(253_402_300_799.0, Some("9999-12-31T23:59:59Z"))]
    #[case::no_time(0.0, None)]
    #[case::before(-5.0, None)]
    #[case::never(f64::NAN, None)]
    #[case::too_late(1e18, None)]
    fn times_are_written_as_the_image_spec_wants_them(
        #[case] time: f64,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(rfc3339(time).as_deref(), expected);
    }

    #[rstest]
    #[case("oci://ghcr.io/user/base", "1.0", Some("ghcr.io/user/base:1.0"))]
    #[case("oci+http://localhost:5000/base", "sha256:00", Some("localhost:5000/base@sha256:00"))]
    #[case("./cache", "1.0", None)]
    fn a_base_has_the_name_it_can_be_pulled_by(
        #[case] location: &str,
        #[case] name: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(base_name(location, name).as_deref(), expected);
    }
}
