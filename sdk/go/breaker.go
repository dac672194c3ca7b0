package tidegate

type breakerState int

const (
	closed breakerState = iota
	open
	probing
)

func (s breakerState) String() string { return [...]string{"closed", "open", "probing"}[s] }

// breaker stops sending after failures in a row (R85-R87).
type breaker struct {
	state  breakerState
	failed int64 // in a row, over all classes
	until  int64 // of its opening
	probe  *batch
}

// fail counts a retryable failure that R85 counts, and says whether it opens.
func (b *breaker) fail(draining bool) bool {
	b.failed++
	return draining || b.failed >= breakerFailures
}

// opens holds everything back for so long.
func (b *breaker) opens(until int64) { b.state, b.until, b.probe = open, until, nil }

// closes says whether it was not closed before.
func (b *breaker) closes() bool {
	was := b.state != closed
	*b = breaker{}
	return was
}

// drain paces what goes out after the breaker closed (R88).
type drain struct {
	allowed int // of this round
	used    int
	waiting int // sends of this round without their definitive reply
	first   int64
}

func newDrain() *drain { return &drain{allowed: 1} }

// over moves on to the next round where that is due, and says whether the drain has ended.
func (d *drain) over(now int64) bool {
	if d.used == 0 || d.waiting > 0 || now-d.first < drainRoundMS {
		return false
	}
	if d.used < d.allowed || d.allowed == drainRoundMax {
		return true
	}
	*d = drain{allowed: d.allowed * 2}
	return false
}

func (d *drain) free() bool { return d.used < d.allowed }

func (d *drain) take(now int64) {
	if d.used == 0 {
		d.first = now
	}
	d.used++
	d.waiting++
}

// next is when the next round may begin, if that is known.
func (d *drain) next() (int64, bool) { return d.first + drainRoundMS, d.used > 0 && d.waiting == 0 }
