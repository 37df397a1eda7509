//! Tokens that `docker-registry` verifies: JWT, ES256, with the chain of certificates in `x5c`.
//!
//! What it checks, in distribution 2.8's `registry/auth/token/token.go`: issuer, audience, times
//! with sixty seconds of grace, the chain up to its bundle of roots, and the signature.

use std::time::{Duration, SystemTime};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::SERVICE;
use crate::authority::Certificate;

pub(super) const ISSUER: &str = "token server of a test";
/// How much longer the registry accepts a token than it says (`Leeway` in `token.go`).
const GRACE: u64 = 60;

#[derive(Debug)]
pub(super) struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    /// Base64, as `x5c` wants it: not of the URL kind (RFC 7515, 4.1.6).
    certificate: String,
}

impl Signer {
    pub(super) fn new(certificate: &Certificate) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &certificate.key_der, &random).unwrap();
        Self { key, random, certificate: BASE64.encode(&certificate.der) }
    }

    /// A token that the registry accepts for exactly the lifetime, in whole seconds.
    pub(super) fn sign(
        &self,
        realm: &str,
        subject: &str,
        access: &Value,
        lifetime: Duration,
    ) -> String {
        let issued = now();
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "exp": issued + lifetime.as_secs() - GRACE,
            "nbf": issued - GRACE,
            "iat": issued,
            "jti": format!("{realm} {issued}"),
            "access": access,
        });
        let text = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.key.sign(&self.random, text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

fn encoded(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// RFC 3339. Days to a date by the algorithm of
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
pub(super) fn date_time(seconds: u64) -> String {
    let days = seconds / 86400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(date_time(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(date_time(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
