//! Canonical bytes of a row: what is hashed, and what a snapshot stores.
//!
//! Little-endian, fixed-width, fields in declaration order, lists led by their length. There is no
//! implementation for `usize`, `f32` or `f64`, so a row that holds one does not compile.

use alloc::string::String;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

/// A value with one byte string and one only.
pub trait Image: Sized {
    /// Appends the bytes of this value.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Takes a value off the front of `bytes`; `None` if they are not one.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! integer_image {
    ($($int:ty),*) => {$(
        impl Image for $int {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let (head, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*head))
            }
        }
    )*};
}

integer_image!(u8, u16, u32, u64, u128);

impl Image for bool {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match u8::read(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

fn write_length(length: usize, bytes: &mut Vec<u8>) {
    u32::try_from(length).unwrap_or(u32::MAX).write(bytes);
}

impl Image for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_length(self.len(), bytes);
        bytes.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(u32::read(bytes)?).ok()?;
        let (head, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        String::from_utf8(head.to_vec()).ok()
    }
}

impl<T: Image> Image for Vec<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_length(self.len(), bytes);
        self.iter().for_each(|item| item.write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::read(bytes)?;
        (0..length).map(|_| T::read(bytes)).collect()
    }
}

impl<T: Image, const N: usize> Image for ArrayVec<T, N> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_length(self.len(), bytes);
        self.iter().for_each(|item| item.write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::read(bytes)?;
        let mut list = Self::new();
        for _ in 0..length {
            list.try_push(T::read(bytes)?).ok()?;
        }
        Some(list)
    }
}

impl<T: Image> Image for Option<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.is_some().write(bytes);
        self.iter().for_each(|item| item.write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        if bool::read(bytes)? { T::read(bytes).map(Some) } else { Some(None) }
    }
}

impl<T: Image, const N: usize> Image for [T; N] {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|item| item.write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let items: ArrayVec<T, N> = (0..N).map_while(|_| T::read(bytes)).collect();
        items.into_inner().ok()
    }
}

/// Newtypes over an image are images.
macro_rules! newtype_image {
    ($($name:ident),* $(,)?) => {$(
        impl Image for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                self.0.write(bytes);
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                Image::read(bytes).map(Self)
            }
        }
    )*};
}

mod newtypes {
    use super::{Image, Vec};
    use crate::units::*;

    newtype_image!(
        Micros,
        Tokens,
        MicroUsd,
        Millijoules,
        Ppm,
        TenantId,
        RegionId,
        ModelId,
        VesselId,
        PolicyVersion,
        BerthId,
        KeySlot,
        PrefixSlot,
        OrderSlot,
        Seq,
        JournalId,
        OrderId,
    );
}

/// Declares a struct whose image is its fields in order, with the derives that every row has.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::image::Image for $name {
            fn write(&self, bytes: &mut alloc::vec::Vec<u8>) {
                $($crate::image::Image::write(&self.$field, bytes);)*
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: $crate::image::Image::read(bytes)?,)* })
            }
        }
    };
}

/// Declares an enum without payloads whose image is its number; numbers are never reused.
macro_rules! code {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl $crate::image::Image for $name {
            fn write(&self, bytes: &mut alloc::vec::Vec<u8>) {
                bytes.push(*self as u8);
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                match <u8 as $crate::image::Image>::read(bytes)? {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {code, row};
