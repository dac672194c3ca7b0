// Package measure runs one measure of one contestant and prints it as a line of JSON.
package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// BatchEvents and BatchWait are the settings that all contestants share.
const (
	BatchEvents = 100
	BatchWait   = 500 * time.Millisecond
)

// Contestant is a client.
type Contestant interface {
	Track(i int)
	// Close sends everything.
	Close()
}

// Props are those of every event.
func Props(i int) map[string]any {
	return map[string]any{
		"bench": i, "path": "/shop/cart/checkout", "user": fmt.Sprint("u-", i*7919%1000003), "amount": 19.9,
		"session": fmt.Sprintf("%08x", uint32(i)*2654435761),
		"items":   []string{"a-1", "b-2", "c-3"},
		"text":    "the quick brown fox jumps over the lazy dog, again and again, until the evening comes",
	}
}

// Run is a program: <endpoint> <measure> <count>.
func Run(open func(endpoint string) Contestant) {
	endpoint, what := os.Args[1], os.Args[2]
	n, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	measures := map[string]func(Contestant, int) map[string]any{
		"track": track, "memory": memory, "throughput": throughput,
	}
	found := measures[what](open(endpoint), n)
	text, _ := json.Marshal(found)
	fmt.Println(string(text))
	os.Exit(0)
}

// track is the time on the caller's goroutine: 20 calls, a pause of 2 ms, and so on.
func track(c Contestant, n int) map[string]any {
	warm := n / 10
	took := make([]int, 0, n)
	for i := 0; i < n+warm; i++ {
		began := time.Now()
		c.Track(i)
		ns := int(time.Since(began))
		if i >= warm {
			took = append(took, ns)
		}
		if i%20 == 19 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	c.Close()
	sort.Ints(took)
	return map[string]any{"p50_ns": took[n/2], "p99_ns": took[n*99/100], "max_ns": took[n-1]}
}

// memory is what n events cost while nobody takes them.
func memory(c Contestant, n int) map[string]any {
	heap, rss := live(), resident()
	for i := 0; i < n; i++ {
		c.Track(i)
		if i%1000 == 999 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	time.Sleep(time.Second)
	return map[string]any{"heap_bytes": live() - heap, "rss_bytes": resident() - rss}
}

// throughput is from the first call to the last reply.
func throughput(c Contestant, n int) map[string]any {
	for i := 0; i < n/10; i++ {
		c.Track(i)
	}
	time.Sleep(2 * BatchWait)
	began, cpu := time.Now(), processor()
	for i := 0; i < n; i++ {
		c.Track(i)
	}
	c.Close()
	took := time.Since(began)
	return map[string]any{
		"events_per_s":    float64(n) / took.Seconds(),
		"cpu_ns_an_event": float64(processor()-cpu) / float64(n),
	}
}

func live() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func processor() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
