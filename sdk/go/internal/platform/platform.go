// Package platform is what the SDK takes from its environment, in one object, so that tests and the
// adapter can put another in its place. All waiting of the SDK goes through it.
package platform

// Platform is the environment of one client. Functions that are handed over (timers, done, jobs) run
// one after the other on the client's own goroutine, never on the caller's and never inside of the
// call that hands them over.
type Platform interface {
	// MonoMS is the monotonic clock, WallMS the system clock.
	MonoMS() int64
	WallMS() int64
	// Unit is one draw of the jitter generator; U64 is a number for ids.
	Unit() float64
	U64() uint64
	// Soon runs f on the client's goroutine.
	Soon(f func())
	// Timer runs f once, in ms milliseconds; the returned function cancels it.
	Timer(ms int64, f func()) (cancel func())
	// HTTP begins a request; done is called once, also after abort.
	HTTP(r Request, done func(Reply)) (abort func())
	// Offload runs f off the client's goroutine, one after the other in their order, then done.
	Offload(f func(), done func())
	// Aside runs f beside offloaded work, then done.
	Aside(f func(), done func())
	// Await waits until done is closed, at most so long; it says whether it is. It may be called on any
	// goroutine, and offloaded work goes on meanwhile.
	Await(done <-chan struct{}, ms int64) bool
	// Point marks a place where tests may end the process. In production it does nothing.
	Point(name string)
	// DiskFault is what the next write to the store fails with, nil in production.
	DiskFault() error
	// Close ends everything that this platform began. Nothing runs any more when Wait returns.
	Close()
	Wait()
}

// Request is one HTTP request.
type Request struct {
	Method, URL string
	Header      [][2]string
	Body        []byte
}

// Reply is what came back. Status 0 stands for no complete reply.
type Reply struct {
	Status     int
	Body       []byte
	RetryAfter string
	ETag       string
}
