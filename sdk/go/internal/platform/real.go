package platform

import (
	"container/heap"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"math/rand"
	"sync"
	"time"
)

// Real is the platform in production. It has one goroutine for everything that the client decides,
// one for work off it (compression, files), and one for each open request. All of them begin with
// the first use and end with Close (R31, R131).
type Real struct {
	started   time.Time
	transport *Transport
	wg        sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	jobs    []func()
	timers  timers
	made    uint64
	work    []work
	running bool // the client's goroutine has begun
	working bool // the worker has begun
	chance  *rand.Rand
	entropy []byte

	wakeLoop, wakeWork chan struct{}
	ctx                context.Context
	cancel             context.CancelFunc
}

type work struct{ f, done func() }

type timer struct {
	at    time.Duration
	made  uint64
	f     func()
	index int
}

type timers []*timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].made < t[j].made
}
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}
func (t *timers) Push(x any) {
	one := x.(*timer)
	one.index = len(*t)
	*t = append(*t, one)
}
func (t *timers) Pop() any {
	old := *t
	one := old[len(old)-1]
	old[len(old)-1] = nil
	one.index = -1
	*t = old[:len(old)-1]
	return one
}

// NewReal makes a platform. It starts nothing yet.
func NewReal() *Real {
	ctx, cancel := context.WithCancel(context.Background())
	return &Real{
		started:   time.Now(),
		transport: NewTransport(),
		chance:    rand.New(rand.NewSource(int64(random64()))),
		wakeLoop:  make(chan struct{}, 1),
		wakeWork:  make(chan struct{}, 1),
		ctx:       ctx,
		cancel:    cancel,
	}
}

func random64() uint64 {
	var b [8]byte
	if _, err := crand.Read(b[:]); err != nil {
		return uint64(time.Now().UnixNano())
	}
	return binary.LittleEndian.Uint64(b[:])
}

// MonoMS implements Platform.
func (r *Real) MonoMS() int64 { return time.Since(r.started).Milliseconds() }

// WallMS implements Platform.
func (r *Real) WallMS() int64 { return time.Now().UnixMilli() }

// Unit implements Platform.
func (r *Real) Unit() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chance.Float64()
}

// U64 implements Platform. Ids come from the system's generator, many at a time.
func (r *Real) U64() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entropy) < 8 {
		fresh := make([]byte, 1024)
		if _, err := crand.Read(fresh); err != nil {
			return r.chance.Uint64()
		}
		r.entropy = fresh
	}
	u := binary.LittleEndian.Uint64(r.entropy)
	r.entropy = r.entropy[8:]
	return u
}

// Point implements Platform.
func (r *Real) Point(string) {}

// DiskFault implements Platform.
func (r *Real) DiskFault() error { return nil }

// Soon implements Platform.
func (r *Real) Soon(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.jobs = append(r.jobs, f)
	r.loopBegins()
}

// Timer implements Platform.
func (r *Real) Timer(ms int64, f func()) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return func() {}
	}
	r.made++
	one := &timer{at: time.Since(r.started) + time.Duration(ms)*time.Millisecond, made: r.made, f: f}
	heap.Push(&r.timers, one)
	r.loopBegins()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if one.index >= 0 && one.index < len(r.timers) && r.timers[one.index] == one {
			heap.Remove(&r.timers, one.index)
		}
	}
}

// loopBegins wakes the client's goroutine, and starts it the first time.
func (r *Real) loopBegins() {
	if !r.running {
		r.running = true
		r.wg.Add(1)
		go r.loop()
	}
	poke(r.wakeLoop)
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (r *Real) loop() {
	defer r.wg.Done()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		f, wait, ended := r.next()
		if ended {
			return
		}
		if f != nil {
			f()
			continue
		}
		if !alarm.Stop() {
			select {
			case <-alarm.C:
			default:
			}
		}
		alarm.Reset(wait)
		select {
		case <-r.wakeLoop:
		case <-alarm.C:
		case <-r.ctx.Done():
		}
	}
}

// next is what the client's goroutine does now, or how long it waits.
func (r *Real) next() (f func(), wait time.Duration, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, 0, true
	}
	if len(r.jobs) > 0 {
		f = r.jobs[0]
		r.jobs[0] = nil
		r.jobs = r.jobs[1:]
		return f, 0, false
	}
	r.jobs = nil
	if len(r.timers) == 0 {
		return nil, time.Hour, false
	}
	if wait = r.timers[0].at - time.Since(r.started); wait <= 0 {
		return heap.Pop(&r.timers).(*timer).f, 0, false
	}
	return nil, wait, false
}

// HTTP implements Platform.
func (r *Real) HTTP(request Request, done func(Reply)) func() {
	ctx, cancel := context.WithCancel(r.ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel()
		return func() {}
	}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		reply := r.transport.Do(ctx, request)
		cancel()
		r.Soon(func() { done(reply) })
	}()
	return cancel
}

// Offload implements Platform.
func (r *Real) Offload(f, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.work = append(r.work, work{f, done})
	if !r.working {
		r.working = true
		r.wg.Add(1)
		go r.worker()
	}
	poke(r.wakeWork)
}

// Aside implements Platform.
func (r *Real) Aside(f, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		f()
		r.Soon(done)
	}()
}

// Await implements Platform.
func (r *Real) Await(done <-chan struct{}, ms int64) bool {
	select {
	case <-done:
		return true
	default:
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (r *Real) worker() {
	defer r.wg.Done()
	for {
		r.mu.Lock()
		closed := r.closed
		var one work
		if len(r.work) > 0 {
			one = r.work[0]
			r.work[0] = work{}
			r.work = r.work[1:]
		}
		r.mu.Unlock()
		switch {
		case one.f != nil:
			one.f()
			r.Soon(one.done)
		case closed:
			return
		default:
			select {
			case <-r.wakeWork:
			case <-r.ctx.Done():
			}
		}
	}
}

// Close implements Platform.
func (r *Real) Close() {
	r.mu.Lock()
	r.closed = true
	r.jobs, r.timers = nil, nil
	r.mu.Unlock()
	r.cancel()
	r.transport.Close()
}

// Wait implements Platform.
func (r *Real) Wait() { r.wg.Wait() }

var _ Platform = (*Real)(nil)
