//! The signature of `cluster-info` for one bootstrap token: a detached JWS, as kubeadm computes and compares it
//! (Kubernetes, `cluster-bootstrap/token/jws`).

use ring::hmac;

use crate::encoding::base64url;

/// `header..signature` over the content, HS256 with the token's secret, the token's id as key id.
pub fn detached(content: &str, id: &str, secret: &str) -> String {
    let header = base64url(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"));
    let signed = format!("{header}.{}", base64url(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{header}..{}", base64url(hmac::sign(&key, signed.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::unbase64url;

    #[test]
    fn a_signature_can_be_checked_by_hand() {
        let jws = detached("content", "abcdef", "0123456789abcdef");
        let (header, signature) = jws.split_once("..").unwrap();
        assert_eq!(unbase64url(header).unwrap(), br#"{"alg":"HS256","kid":"abcdef"}"#);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let signed = format!("{header}.{}", base64url("content"));
        assert!(hmac::verify(&key, signed.as_bytes(), &unbase64url(signature).unwrap()).is_ok());
        assert_ne!(jws, detached("content", "abcdef", "0123456789abcdeg"));
    }
}
