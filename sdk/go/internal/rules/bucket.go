package rules

import "math"

// Bucket is the token bucket of R69. The zero value limits nothing.
type Bucket struct {
	limited bool
	perS    float64
	burst   float64
	tokens  float64
	lastMS  int64
}

// Set changes the rate: a bucket that limited nothing is filled, another keeps its tokens, cut to
// the new burst. A nil rate ends the limit.
func (b *Bucket) Set(perS, burst *float64, nowMS int64) {
	if perS == nil || burst == nil {
		*b = Bucket{}
		return
	}
	if !b.limited {
		*b = Bucket{limited: true, tokens: *burst, lastMS: nowMS}
	} else {
		b.fill(nowMS)
	}
	b.perS, b.burst = *perS, *burst
	b.tokens = math.Min(b.tokens, b.burst)
}

func (b *Bucket) fill(nowMS int64) {
	passed := max64(nowMS-b.lastMS, 0)
	b.tokens = math.Min(b.burst, b.tokens+float64(passed)*b.perS/1000)
	b.lastMS = nowMS
}

// Take says whether an event may pass. Class 0 passes and takes nothing.
func (b *Bucket) Take(nowMS int64, class int) bool {
	if !b.limited {
		return true
	}
	b.fill(nowMS)
	if class == 0 {
		return true
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
