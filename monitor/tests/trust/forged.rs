//! Any byte that is not as it was, and any bytes at all.

use gcs_monitor::trust::{Chain, Document, FunctionSeal, Gone, Revocation, RowIssue, Signature, Verifier};
use gcs_monitor::zones::function::Said;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::fleet::{NOW, alice, eu, function, h1, row, verifier, zone};

/// Whether these bytes count as a chain, a function or a revocation.
fn counts(which: usize, bytes: &[u8], verifier: &mut Verifier) -> bool {
    match which {
        0 => Chain::decode(bytes).is_ok_and(|chain| verifier.chain(NOW, &chain).is_ok()),
        1 => {
            let said = Said { seal: bytes.to_vec(), ..function("load", "SELECT MAX(load) AS load") };
            verifier.function(NOW, &said).is_ok()
        }
        _ => Revocation::decode(bytes).is_ok_and(|r| verifier.revoke(NOW, &r).is_ok()),
    }
}

fn originals() -> [Vec<u8>; 3] {
    let function = function("load", "SELECT MAX(load) AS load");
    let signed = alice("install").sign_function(&zone("/eu"), function).unwrap();
    assert!(FunctionSeal::decode(&signed.seal).is_ok());
    [
        alice("read,write:app.,install").chain().encode(),
        signed.seal,
        eu().revoke(h1().chain().subject().unwrap(), NOW).unwrap().encode(),
    ]
}

#[test]
fn every_bit_of_what_is_signed_matters() {
    for (which, original) in originals().iter().enumerate() {
        let mut verifier = verifier();
        assert!(counts(which, original, &mut verifier), "as it was");
        for at in 0..original.len() * 8 {
            let mut bytes = original.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(!counts(which, &bytes, &mut verifier), "bit {at} of {which}");
        }
        for cut in 0..original.len() {
            assert!(!counts(which, &original[..cut], &mut verifier), "cut at {cut}");
        }
        assert!(!counts(which, &[original.as_slice(), &[0]].concat(), &mut verifier), "one byte more");
    }
}

#[test]
fn every_bit_of_a_signature_of_a_row_matters() {
    let (agent, ams) = (h1(), zone("/eu/ams"));
    let row = row(&ams, "h1");
    let (signature, mut verifier) = (row.sign(agent.key()), verifier());
    for at in 0..512 {
        let mut bytes = *signature.as_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(verifier.row(NOW, agent.chain(), &row, &Signature::from_bytes(bytes)).is_err(), "bit {at}");
    }
    assert!(verifier.row(NOW, agent.chain(), &row, &signature).is_ok());
}

/// One number can be written in more than one way; only one counts.
#[test]
fn what_we_would_not_write_is_refused() {
    let original = alice("read").chain().encode();
    let longer = [&[1, original[1] | 0x80, 0], &original[2..]].concat();
    assert!(Chain::decode(&longer).is_err());
}

proptest! {
    #[test]
    fn bytes_that_are_put_together_do_not_count(which in 0..3_usize, from in 0..3_usize, at: Index, of: Index, length in 1..40_usize) {
        let originals = originals();
        let (original, other) = (&originals[which], &originals[from]);
        let (at, of) = (at.index(original.len()), of.index(other.len()));
        let mut bytes = original.clone();
        bytes.splice(at..(at + length).min(original.len()), other[of..(of + length).min(other.len())].to_vec());
        if bytes != *original {
            prop_assert!(!counts(which, &bytes, &mut verifier()));
        }
    }

    #[test]
    fn any_bytes_and_any_text_are_refused_without_panic(bytes in vec(any::<u8>(), 0..300), text in ".{0,200}") {
        for which in 0..3 {
            prop_assert!(!counts(which, &bytes, &mut verifier()));
        }
        prop_assert!(Document::from_text(&text).is_err());
        let versioned = [&[1, 1], bytes.as_slice()].concat();
        prop_assert!(!counts(0, &versioned, &mut verifier()));
    }

    #[test]
    fn whatever_is_said_of_whomever_is_looked_at_without_panic(
        path in prop::sample::select(vec!["/", "/eu", "/eu/ams", "/us"]), child in ".{0,20}", now_s: u64, generator: u64, version: u64,
    ) {
        let (agent, zone) = (h1(), zone(path));
        let row = RowIssue { zone: &zone, child: &child, generator, version, row: b"" };
        let gone = Gone { zone: &zone, child: &child, generator, version };
        let mut verifier = verifier();
        let own = (path == "/eu/ams" && child == "h1") || (path == "/eu" && child == "ams") || (path == "/" && child == "eu");
        let accepted = verifier.row(NOW, agent.chain(), &row, &row.sign(agent.key())).is_ok();
        prop_assert_eq!(accepted, own);
        let _ = verifier.row(now_s, agent.chain(), &row, &row.sign(agent.key()));
        let _ = verifier.gone(now_s, agent.chain(), &gone, &gone.sign(agent.key()));
    }
}
