package rules

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const salt = "tidegate-sdk"

// Murmur3 is MurmurHash3 x86_32 by Austin Appleby with seed 0.
func Murmur3(data []byte) uint32 {
	var state uint32
	rest := data
	for ; len(rest) >= 4; rest = rest[4:] {
		state ^= scramble(binary.LittleEndian.Uint32(rest))
		state = bits.RotateLeft32(state, 13)*5 + 0xE6546B64
	}
	var tail uint32
	for i := len(rest) - 1; i >= 0; i-- {
		tail = tail<<8 | uint32(rest[i])
	}
	state ^= scramble(tail)
	state ^= uint32(len(data))
	state = (state ^ state>>16) * 0x85EBCA6B
	state = (state ^ state>>13) * 0xC2B2AE35
	return state ^ state>>16
}

func scramble(block uint32) uint32 {
	return bits.RotateLeft32(block*0xCC9E2D51, 15) * 0x1B873593
}

// Digest is the hash that decides about an event (R65).
func Digest(unit, kind string) uint32 {
	data := make([]byte, 0, 160)
	data = append(data, salt...)
	data = append(data, 0)
	data = append(data, unit...)
	data = append(data, 0)
	data = append(data, kind...)
	return Murmur3(data)
}

// Keep decides whether an event is kept at a rate (R65).
func Keep(unit, kind string, rate float64) bool {
	return rate >= 1 || float64(Digest(unit, kind)) < math.Floor(rate*(1<<32))
}

// Weight is the inverse of a rate.
func Weight(rate float64) float64 {
	if rate >= 1 {
		return 1
	}
	return 1 / rate
}

// RateOf is the rate in force (R65, R66); degrade has the factors of classes 0, 1 and 2.
func RateOf(kind string, class int, local, remote map[string]float64, degrade [3]float64) float64 {
	rate := math.Min(named(kind, class, local), named(kind, class, remote))
	if class == 0 {
		return rate
	}
	return rate * degrade[class]
}

func named(kind string, class int, rates map[string]float64) float64 {
	if rate, ok := rates[kind]; ok {
		return rate
	}
	if rate, ok := rates["*"]; ok && class != 0 {
		return rate
	}
	return 1
}
