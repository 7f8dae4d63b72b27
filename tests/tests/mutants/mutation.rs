//! What can be broken.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The square is added without being rounded first.
    FusedSquare,
    /// `x · S_enc` is subtracted without being rounded first.
    FastFused,
    /// The map4 scale is 1.5 times the rounded map6 scale.
    Map4FromRoundedMap6,
    /// The map4 scale is made from `bmax / 4`.
    Map4FromQuarter,
    /// Scales are clamped to A instead of 448.
    ScaleClampedToBound,
    /// A tile's row errors are added one after the other.
    TileSumInSequence,
    /// Neighbouring row errors are added first.
    TileSumOfNeighbours,
    /// The columnwise output of a tile adds up errors along the input's rows.
    ColumnwiseSumsAlongRows,
    /// Terms are added from the last element.
    SumBackwards,
    /// `bmax · (1/6)` for `bmax / 6`.
    BlockAmaxTimesReciprocal,
    /// `· (1 / (6·A))` for `/ (6·A)` in the strict error.
    StrictTimesReciprocal,
    /// The strict error multiplies in the order of dequantization.
    StrictInDequantizeOrder,
    /// The strict error multiplies by `S_dec`.
    StrictTimesDecodeScale,
    /// Subnormal inputs and results become zero.
    FlushToZero,
    /// A tie takes map4.
    TieTakesMap4,
    /// NaN takes map4.
    NanTakesMap4,
    /// `S_enc` may be infinite.
    GlobalScaleNotClamped,
    /// `S_enc` stays 0 when the amax is infinite.
    InfiniteAmaxNotOne,
    /// `S_dec` is `amax / (6·A)`.
    DecodeScaleFromAmax,
    /// The factor of a block whose scale is 0 is infinite.
    BlockScaleNotClamped,
    /// `x / (s · S_dec)` for `x · (1 / (s · S_dec))`.
    DivideInsteadOfEncodeScale,
    /// The plain scale is computed as that of map6.
    PlainScaleInFourOverSixOrder,
    /// Scales of Four Over Six are computed as the plain one.
    FourOverSixScaleInPlainOrder,
    /// Codes halfway between two values go away from zero.
    CodeTiesAway,
    /// Scales halfway between two values go up.
    ScaleTiesAway,
    /// Subnormal scales become zero.
    ScaleSubnormalsFlushed,
    /// −0.0 gives code 0.
    ZeroWithoutSign,
    /// Rows share the largest amax.
    OneAmaxForAllRows,
    /// A supplied amax is not used.
    SuppliedAmaxIgnored,
}

impl Mutation {
    /// Every mutation.
    pub(crate) const ALL: &[Self] = &[
        Self::FusedSquare,
        Self::FastFused,
        Self::Map4FromRoundedMap6,
        Self::Map4FromQuarter,
        Self::ScaleClampedToBound,
        Self::TileSumInSequence,
        Self::TileSumOfNeighbours,
        Self::ColumnwiseSumsAlongRows,
        Self::SumBackwards,
        Self::BlockAmaxTimesReciprocal,
        Self::StrictTimesReciprocal,
        Self::StrictInDequantizeOrder,
        Self::StrictTimesDecodeScale,
        Self::FlushToZero,
        Self::TieTakesMap4,
        Self::NanTakesMap4,
        Self::GlobalScaleNotClamped,
        Self::InfiniteAmaxNotOne,
        Self::DecodeScaleFromAmax,
        Self::BlockScaleNotClamped,
        Self::DivideInsteadOfEncodeScale,
        Self::PlainScaleInFourOverSixOrder,
        Self::FourOverSixScaleInPlainOrder,
        Self::CodeTiesAway,
        Self::ScaleTiesAway,
        Self::ScaleSubnormalsFlushed,
        Self::ZeroWithoutSign,
        Self::OneAmaxForAllRows,
        Self::SuppliedAmaxIgnored,
    ];
}
