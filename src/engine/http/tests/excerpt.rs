use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).expect("writes");
    encoder.finish().expect("ends")
}

/// What is kept of a body that comes in chunks of a size, and how much of it was read.
fn kept(encoding: Option<&str>, body: &[u8], chunk: usize) -> (Vec<u8>, bool, usize) {
    let mut excerpt = Excerpt::new(encoding);
    let mut read = 0;
    let is_cut = body.chunks(chunk).any(|chunk| {
        read += chunk.len();
        !excerpt.push(chunk)
    });
    let (bytes, truncated) = excerpt.finish(is_cut);
    (bytes, truncated, read)
}

#[test]
fn compressed_answers_are_kept_as_they_are_meant() {
    let plain = b"{\"error\": \"no such deal\"}".repeat(20);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&plain).expect("writes");
    let zlib = zlib.finish().expect("ends");
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(&plain).expect("writes");
    let deflate = deflate.finish().expect("ends");
    for chunk in [1, 7, 100_000] {
        assert_eq!(kept(Some("deflate"), &deflate, chunk), (plain.clone(), false, deflate.len()), "{chunk}");
        for cut in [1, 10] {
            let body = gzip(&plain);
            let (bytes, truncated, _) = kept(Some("gzip"), &body[..body.len() - cut], chunk);
            assert!(truncated && plain.starts_with(&bytes), "{cut} {chunk}");
        }
        for (encoding, body) in
            [(Some("gzip"), gzip(&plain)), (Some(" X-GZIP"), gzip(&plain)), (Some("deflate"), zlib.clone())]
        {
            assert_eq!(kept(encoding, &body, chunk), (plain.clone(), false, body.len()), "{encoding:?} {chunk}");
        }
        assert_eq!(kept(None, &plain, chunk).0, plain);
        assert_eq!(kept(Some("br"), &plain, chunk).0, plain, "of others nothing is known");
        assert_eq!(kept(Some("gzip"), &plain, chunk), (plain.clone(), false, plain.len()), "it is not");
    }
    let noise: Vec<_> = (0_u32..2_000).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let (bytes, ..) = kept(Some("gzip"), &gzip(&noise)[..1_000], 100);
    assert!(noise.starts_with(&bytes) && bytes.len() > 500, "as much as came: {}", bytes.len());
}

#[test]
fn what_they_inflate_to_is_bounded() {
    let bomb = gzip(&vec![b'x'; 100 * 1024 * 1024]);
    for chunk in [512, 1_000_000] {
        let (bytes, truncated, _) = kept(Some("gzip"), &bomb, chunk);
        assert!(truncated && bytes == vec![b'x'; RESPONSE_EXCERPT_BYTES_MAX]);
    }
    let empty = gzip(b"").repeat(100_000);
    let (_, truncated, read) = kept(Some("gzip"), &empty, 1_000);
    assert!(truncated && read <= COMPRESSED_BYTES_MAX + 1_000, "{read}");
    let plain = vec![b'x'; RESPONSE_EXCERPT_BYTES_MAX];
    assert!(!kept(Some("gzip"), &gzip(&plain), 100).1, "exactly as much as is kept");
    assert!(!kept(None, &plain, 100).1);
    assert!(kept(None, &[plain.as_slice(), b"y"].concat(), 100).1);
}
