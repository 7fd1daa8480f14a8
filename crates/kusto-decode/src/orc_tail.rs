//! What the end of an ORC file says of its types, looked at before the library follows it:
//! types that hold themselves, or a tower of them, would end the process and not the source.

use orc_rust::ArrowReaderBuilder;
use orc_rust::compression::{Compression, Decompressor};
use orc_rust::proto::{Footer, PostScript, Type, r#type::Kind};
use orc_rust::reader::ChunkReader;
use prost::Message;
use std::io::Read;

/// Most types in each other.
const MAX_DEPTH: usize = 100;
/// Most bytes of a packed block: what its length has bits for.
const MAX_BLOCK: u64 = 1 << 23;
/// Most bytes of an unpacked footer.
const MAX_FOOTER: u64 = 64 * 1024 * 1024;

/// Fails when the file's types are no tree that can be followed.
pub(crate) fn check<R: ChunkReader>(source: &R) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let cut = || "it is cut off, or no ORC file".to_owned();
    let last = source.len().checked_sub(1).ok_or_else(cut)?;
    let length = source.get_bytes(last, 1).map_err(|error| text(&error))?[0];
    let begins = last.checked_sub(u64::from(length)).ok_or_else(cut)?;
    let bytes = source.get_bytes(begins, u64::from(length)).map_err(|error| text(&error))?;
    let postscript = PostScript::decode(bytes).map_err(|error| text(&error))?;
    if postscript.compression_block_size() > MAX_BLOCK {
        return Err(format!("its blocks have up to {} bytes", postscript.compression_block_size()));
    }
    let (footer, metadata) = (postscript.footer_length(), postscript.metadata_length());
    let begins = begins.checked_sub(footer).ok_or_else(cut)?;
    begins.checked_sub(metadata).ok_or_else(cut)?;
    let packed = source.get_bytes(begins, footer).map_err(|error| text(&error))?;
    let mut unpacked = Vec::new();
    Decompressor::new(packed, packing(&postscript)?, Vec::new())
        .take(MAX_FOOTER)
        .read_to_end(&mut unpacked)
        .map_err(|error| text(&error))?;
    let footer = Footer::decode(unpacked.as_slice()).map_err(|error| text(&error))?;
    check_types(&footer.types)
}

/// How the file is packed. The library says so of a file that it has opened, so it opens one
/// that is packed in the same way and has nothing in it.
fn packing(postscript: &PostScript) -> Result<Option<Compression>, String> {
    let footer = Footer {
        types: vec![Type { kind: Some(Kind::Struct.into()), ..Type::default() }],
        ..Footer::default()
    }
    .encode_to_vec();
    // A packed file's blocks begin with their length, and a bit that says "not packed".
    let header = u32::try_from(footer.len()).unwrap_or(0) << 1 | 1;
    let mut file = header.to_le_bytes()[..3].to_vec();
    if postscript.compression() == orc_rust::proto::CompressionKind::None {
        file.clear();
    }
    file.extend(footer);
    let postscript = PostScript {
        footer_length: Some(file.len() as u64),
        metadata_length: Some(0),
        compression: postscript.compression,
        compression_block_size: postscript.compression_block_size,
        ..PostScript::default()
    }
    .encode_to_vec();
    file.extend(&postscript);
    file.extend(u8::try_from(postscript.len()));
    let opened = ArrowReaderBuilder::try_new(bytes::Bytes::from(file)).map_err(|error| error.to_string())?;
    Ok(opened.file_metadata().compression())
}

/// Types are numbered from the root on, each after the one that holds it and held once.
fn check_types(types: &[Type]) -> Result<(), String> {
    let mut depths = vec![0usize; types.len()];
    let mut is_held = vec![false; types.len()];
    for (index, held) in
        types.iter().enumerate().flat_map(|(index, t)| t.subtypes.iter().map(move |s| (index, *s)))
    {
        let held = held as usize;
        if held <= index || held >= types.len() || is_held[held] {
            return Err(format!("its type {index} holds type {held}, which is not its own"));
        }
        is_held[held] = true;
        depths[held] = depths[index] + 1;
        if depths[held] > MAX_DEPTH {
            return Err(format!("its types are in each other more than {MAX_DEPTH} deep"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(subtypes: &[u32]) -> Type {
        Type { kind: Some(Kind::List.into()), subtypes: subtypes.to_vec(), ..Type::default() }
    }

    #[test]
    fn types_are_a_tree_of_some_depth() {
        check_types(&[holding(&[1, 3]), holding(&[2]), holding(&[]), holding(&[])]).unwrap();
        for bad in [
            vec![holding(&[0])],
            vec![holding(&[1]), holding(&[1])],
            vec![holding(&[1]), holding(&[2]), holding(&[0])],
            vec![holding(&[1, 1]), holding(&[])],
            vec![holding(&[7])],
        ] {
            check_types(&bad).unwrap_err();
        }
        let tower: Vec<Type> = (1..200).map(|next| holding(&[next])).chain([holding(&[])]).collect();
        check_types(&tower[..]).unwrap_err();
        let low: Vec<Type> = (1..50).map(|next| holding(&[next])).chain([holding(&[])]).collect();
        check_types(&low).unwrap();
    }
}
