// Command adapter lets the harness of sdk/harness drive this SDK (sdk/contract/adapter.md). It holds no
// logic of the contract: it has a clock that only the driver moves, and counts what is under way.
package main

import (
	"context"
	"errors"
	"os"
	"sort"
	"sync/atomic"
	"syscall"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// world is one process: two clocks, timers, work that can go on, requests.
type world struct {
	real       bool
	mono, wall int64
	timers     []*timer
	made       int
	jobs       []func()
	results    chan func()
	begun      atomic.Int64
	open       atomic.Int64
	crashPoint string
	crashIn    int
}

type timer struct {
	at    int64
	made  int
	f     func()
	owner *virtual
}

func newWorld() *world { return &world{results: make(chan func(), 1024)} }

// idle runs everything that needs neither time nor the network.
func (w *world) idle() {
	for {
		select {
		case result := <-w.results:
			w.jobs = append(w.jobs, result)
		default:
			if len(w.jobs) == 0 {
				return
			}
		}
		for len(w.jobs) > 0 {
			job := w.jobs[0]
			w.jobs = w.jobs[1:]
			job()
		}
	}
}

// advance moves both clocks, but no further than to the next timer, and runs what is due then.
func (w *world) advance(ms int64) int64 {
	if next, ok := w.next(); ok && next < ms {
		ms = next
		if ms < 0 {
			ms = 0
		}
	}
	w.mono += ms
	w.wall += ms
	var due, rest []*timer
	for _, t := range w.timers {
		if t.at <= w.mono {
			due = append(due, t)
		} else {
			rest = append(rest, t)
		}
	}
	w.timers = rest
	sort.SliceStable(due, func(i, j int) bool {
		return due[i].at < due[j].at || due[i].at == due[j].at && due[i].made < due[j].made
	})
	for _, t := range due {
		if t.f != nil { // a timer before it may have cancelled it
			t.f()
			w.idle()
		}
	}
	return ms
}

func (w *world) next() (int64, bool) {
	least, found := int64(0), false
	for _, t := range w.timers {
		if left := t.at - w.mono; !found || left < least {
			least, found = left, true
		}
	}
	return least, found
}

func (w *world) point(name string) {
	if w.crashIn > 0 && name == w.crashPoint {
		if w.crashIn--; w.crashIn == 0 {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				self.Kill() // SIGKILL
			}
			select {}
		}
	}
}

// virtual is the platform of one client in virtual time.
type virtual struct {
	*world
	jitter, ids *rules.SplitMix64
	transport   *platform.Transport
	ctx         context.Context
	cancel      context.CancelFunc
	disk        error
	work        []*func() // offloaded, in order
}

func newVirtual(w *world, seed uint64) *virtual {
	ctx, cancel := context.WithCancel(context.Background())
	return &virtual{world: w, jitter: rules.NewSplitMix64(seed), ids: rules.NewSplitMix64(seed + 1),
		transport: platform.NewTransport(), ctx: ctx, cancel: cancel}
}

func (v *virtual) MonoMS() int64     { return v.mono }
func (v *virtual) WallMS() int64     { return v.wall }
func (v *virtual) Unit() float64     { return v.jitter.Unit() }
func (v *virtual) U64() uint64       { return v.ids.Uint64() }
func (v *virtual) Soon(f func())     { v.jobs = append(v.jobs, f) }
func (v *virtual) Point(name string) { v.point(name) }
func (v *virtual) DiskFault() error  { return v.disk }
func (v *virtual) Wait()             {}

func (v *virtual) Timer(ms int64, f func()) func() {
	v.made++
	t := &timer{at: v.mono + ms, made: v.made, f: f, owner: v}
	v.timers = append(v.timers, t)
	return func() {
		t.f = nil
		for i, other := range v.timers {
			if other == t {
				v.timers = append(v.timers[:i:i], v.timers[i+1:]...)
				return
			}
		}
	}
}

func (v *virtual) HTTP(r platform.Request, done func(platform.Reply)) func() {
	ctx, cancel := context.WithCancel(v.ctx)
	v.begun.Add(1)
	v.open.Add(1)
	go func() {
		reply := v.transport.Do(ctx, r)
		cancel()
		v.results <- func() {
			done(reply)
			v.open.Add(-1)
		}
	}()
	return cancel
}

func (v *virtual) Offload(f, done func()) {
	one := &f
	v.work = append(v.work, one)
	v.jobs = append(v.jobs, func() {
		for *one != nil {
			v.workNow()
		}
		done()
	})
}

func (v *virtual) Aside(f, done func()) { v.Offload(f, done) }

// workNow does the oldest offloaded work that was not done yet.
func (v *virtual) workNow() {
	one := v.work[0]
	v.work = v.work[1:]
	f := *one
	*one = nil
	f()
}

// Await does what a worker would do meanwhile; time stands still.
func (v *virtual) Await(done <-chan struct{}, _ int64) bool {
	for {
		select {
		case <-done:
			return true
		default:
		}
		if len(v.work) == 0 {
			return false
		}
		v.workNow()
	}
}

func (v *virtual) Close() {
	v.cancel()
	v.transport.Close()
	var rest []*timer
	for _, t := range v.timers {
		if t.owner != v {
			rest = append(rest, t)
		}
	}
	v.timers = rest
}

// counted is the platform of production, whose requests are counted.
type counted struct {
	*platform.Real
	world *world
}

func (c *counted) HTTP(r platform.Request, done func(platform.Reply)) func() {
	c.world.begun.Add(1)
	c.world.open.Add(1)
	var ended atomic.Bool
	end := func() {
		if ended.CompareAndSwap(false, true) {
			c.world.open.Add(-1)
		}
	}
	abort := c.Real.HTTP(r, func(reply platform.Reply) {
		done(reply)
		end()
	})
	return func() {
		abort()
		end()
	}
}

func (c *counted) Point(name string) { c.world.point(name) }

var errDisk = errors.New("the disk has an error")

var diskModes = map[string]error{"ok": nil, "full": syscall.ENOSPC, "error": errDisk}

var (
	_ platform.Platform = (*virtual)(nil)
	_ platform.Platform = (*counted)(nil)
)
