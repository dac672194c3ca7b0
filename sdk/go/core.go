package tidegate

import (
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

// core is a client without its public face, so that a client that nobody refers to any more can be
// collected while timers still know the core (R134).
//
// Everything behind mu changes only while mu is held; what the host has to be told is collected in
// notices and told after it was released (R62).
type core struct {
	p    platform.Platform
	opt  *settings
	hook hooks
	log  warner

	mu      sync.Mutex
	notices []func()

	instance string
	eff      rules.Effective
	bucket   rules.Bucket
	conf     centre

	epoch *epoch
	older []*epoch

	queue  [3]fifo
	sealed [3][]*batch
	used   int64
	orders uint64
	cover  uint64 // events up to this admission are due, because of a flush (R130)

	classFails   [3]int64
	delayUntil   [3]int64
	pauseUntil   [3]int64
	clientPause  int64
	breaker      breaker
	drain        *drain
	pressure     int
	pressureAt   int64
	lastSend     int64
	filtered     int64
	rejected     int64
	cancelTimer  func()
	armedFor     int64
	pumpSoon     bool
	flushes      []*flushCall
	closing      *closeCall
	closed       bool        // no more events (R51)
	finishing    bool        // no more sends
	over         atomic.Bool // the same, for what runs without the lock
	ended        bool        // nothing runs any more
	optedOut     bool
	store        *store.Store
	storeBytes   int64
	recovering   bool
	lastDrop     map[dropKey]int64
	consentSaves int
}

type dropKey struct {
	reason string
	class  int
}

// enter and leave are the only way in and out for everything that runs later.
func (c *core) enter() { c.mu.Lock() }

func (c *core) leave() {
	told := c.notices
	c.notices = nil
	c.mu.Unlock()
	for _, tell := range told {
		tell()
	}
}

// later runs a step of the client with everything that follows from it.
func (c *core) later(step func()) func() {
	return func() {
		c.enter()
		defer c.leave()
		if c.ended {
			return
		}
		step()
		c.pump()
	}
}

// wake asks for a look at what can be sent, off the caller's goroutine.
func (c *core) wake() {
	if c.pumpSoon || c.ended {
		return
	}
	c.pumpSoon = true
	c.p.Soon(c.later(func() { c.pumpSoon = false }))
}

func (c *core) now() int64 { return c.p.MonoMS() }

func (c *core) newID() string {
	a := c.p.U64()
	b := c.p.U64()
	return rules.UUID7(c.p.WallMS(), a, b)
}

func (c *core) level() int {
	if c.pressure > 0 && c.now()-c.pressureAt >= pressureMS {
		c.pressure = 0
	}
	return c.pressure
}

func (c *core) factors() [3]float64 { return rules.Factors(c.eff.Degrade, c.level()) }

// Fixed figures (R43).
const (
	breakerFailures = 5
	drainRoundMS    = 1_000
	drainRoundMax   = 64
	keyPauseMS      = 300_000
	reportMS        = 300_000
	fetchMS         = 60_000
	pressureMS      = 60_000
	quietMS         = 60_000
	storeRetryMS    = 60_000
	storeBytesFlush = 65_536
	documentMS      = 604_800_000
)
