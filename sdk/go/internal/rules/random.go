// Package rules holds the pure functions of the contract: no clock, no chance, no I/O.
//
// Every function is executed against sdk/contract/vectors, both by the tests of this package and
// through the adapter. Comments cite the numbered rules of the contract.
package rules

import "fmt"

// SplitMix64 is Sebastiano Vigna's generator. It stands in for chance in tests only.
type SplitMix64 struct{ state uint64 }

// NewSplitMix64 returns a generator whose first state is the seed.
func NewSplitMix64(seed uint64) *SplitMix64 { return &SplitMix64{state: seed} }

// Uint64 returns the next number.
func (s *SplitMix64) Uint64() uint64 {
	s.state += 0x9E3779B97F4A7C15
	z := s.state
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// Unit returns the next number as a unit in [0, 1).
func (s *SplitMix64) Unit() float64 { return UnitOf(s.Uint64()) }

// UnitOf turns 64 random bits into a unit in [0, 1).
func UnitOf(u uint64) float64 { return float64(u>>11) / (1 << 53) }

// UUID7 makes an id from the wall clock and two random numbers (R12).
func UUID7(wallMS int64, a, b uint64) string {
	if wallMS < 0 {
		wallMS = 0
	}
	if wallMS > 1<<48-1 {
		wallMS = 1<<48 - 1
	}
	high := uint64(wallMS)<<16 | 0x7<<12 | a>>52
	low := uint64(0b10)<<62 | b>>2
	return uuidText(high, low)
}

// UUID4 makes a random UUIDv4 (R42).
func UUID4(a, b uint64) string {
	high := a&^uint64(0xF000) | 0x4000
	low := b>>2 | uint64(0b10)<<62
	return uuidText(high, low)
}

func uuidText(high, low uint64) string {
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x",
		high>>32, high>>16&0xFFFF, high&0xFFFF, low>>48, low&(1<<48-1))
}
