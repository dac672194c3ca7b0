package tidegate

import (
	"math/rand"
	"sort"
	"strings"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// fake is a platform in virtual time whose gateway is a function. Everything runs in run and advance.
type fake struct {
	mono, wall int64
	random     *rules.SplitMix64
	jobs       []func()
	timers     []*fakeTimer
	made       int
	gateway    func(platform.Request) platform.Reply
	disk       error
	hung       bool      // the disk does not answer
	work       []*func() // offloaded, in order
	ended      bool
	sends      []platform.Request
}

type fakeTimer struct {
	at   int64
	made int
	f    func()
}

func newFake(seed int64) *fake {
	return &fake{wall: 1767225600000, random: rules.NewSplitMix64(uint64(seed)),
		gateway: func(platform.Request) platform.Reply { return platform.Reply{} }}
}

func (f *fake) MonoMS() int64    { return f.mono }
func (f *fake) WallMS() int64    { return f.wall }
func (f *fake) Unit() float64    { return f.random.Unit() }
func (f *fake) U64() uint64      { return f.random.Uint64() }
func (f *fake) Soon(job func())  { f.jobs = append(f.jobs, job) }
func (f *fake) Point(string)     {}
func (f *fake) DiskFault() error { return f.disk }
func (f *fake) Close()           { f.ended, f.timers = true, nil }
func (f *fake) Wait()            {}

func (f *fake) Timer(ms int64, job func()) func() {
	f.made++
	t := &fakeTimer{f.mono + ms, f.made, job}
	f.timers = append(f.timers, t)
	return func() { t.f = nil }
}

func (f *fake) HTTP(r platform.Request, done func(platform.Reply)) func() {
	if strings.Contains(r.URL, "/v1/batch") {
		f.sends = append(f.sends, r)
	}
	f.jobs = append(f.jobs, func() { done(f.gateway(r)) })
	return func() {}
}

func (f *fake) Offload(job, done func()) {
	one := &job
	f.work = append(f.work, one)
	f.jobs = append(f.jobs, func() {
		for *one != nil {
			f.workNow()
		}
		done()
	})
}

func (f *fake) Aside(job, done func()) { f.Offload(job, done) }

func (f *fake) workNow() {
	one := f.work[0]
	f.work = f.work[1:]
	job := *one
	*one = nil
	job()
}

func (f *fake) Await(done <-chan struct{}, _ int64) bool {
	for {
		select {
		case <-done:
			return true
		default:
		}
		if f.hung || len(f.work) == 0 {
			return false
		}
		f.workNow()
	}
}

func (f *fake) run() {
	for len(f.jobs) > 0 {
		job := f.jobs[0]
		f.jobs = f.jobs[1:]
		job()
	}
}

func (f *fake) advance(ms int64) {
	f.run()
	for end := f.mono + ms; ; {
		sort.SliceStable(f.timers, func(i, j int) bool {
			return f.timers[i].at < f.timers[j].at || f.timers[i].at == f.timers[j].at && f.timers[i].made < f.timers[j].made
		})
		if len(f.timers) == 0 || f.timers[0].at > end {
			f.wall += end - f.mono
			f.mono = end
			return
		}
		t := f.timers[0]
		f.timers = f.timers[1:]
		if t.at > f.mono {
			f.wall += t.at - f.mono
			f.mono = t.at
		}
		if t.f != nil {
			t.f()
		}
		f.run()
	}
}

// moody is a gateway that answers as chance will have it.
func moody(chance *rand.Rand) func(platform.Request) platform.Reply {
	return func(r platform.Request) platform.Reply {
		if !strings.Contains(r.URL, "/v1/batch") {
			return platform.Reply{Status: 404}
		}
		body := []string{"", `{"reason":"busy"}`, `{"limits":[[1,5000],[2,9000]],"pressure":2}`, `{"retry_ms":700}`}[chance.Intn(4)]
		switch chance.Intn(8) {
		case 0:
			return platform.Reply{}
		case 1:
			return platform.Reply{Status: 503, Body: []byte(body)}
		case 2:
			return platform.Reply{Status: []int{413, 400, 409, 429, 500, 200, 302}[chance.Intn(7)], Body: []byte(body)}
		}
		return taken(r)
	}
}
