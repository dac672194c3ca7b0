package tidegate

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/sdk/go/internal/fakegateway"
)

const (
	exitRounds  = 8
	exitFlushMS = 50
	// exitWindow is the documented window (StoreFlushMS at its default). The flush here is twenty
	// times as quick, so that a busy machine does not decide about the verdict.
	exitWindow = time.Second
)

// TestMain is also the program that ends by os.Exit in the middle of its work.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TIDEGATE_TEST_EXIT_STORE"); dir != "" {
		endInTheMiddle(dir)
	}
	os.Exit(m.Run())
}

// endInTheMiddle tracks an event every millisecond, writes down when, and ends by os.Exit.
func endInTheMiddle(dir string) {
	after, _ := strconv.Atoi(os.Getenv("TIDEGATE_TEST_EXIT_MS"))
	client, err := New(Options{Key: "wk_test", Endpoint: os.Getenv("TIDEGATE_ENDPOINT"), Logger: silent,
		StoreDir: dir, StoreFlushMS: exitFlushMS, BatchMS: 100, RetryBaseMS: 100})
	if err != nil {
		panic(err)
	}
	end := time.Now().Add(time.Duration(after) * time.Millisecond)
	for n := 0; time.Now().Before(end); n++ {
		client.Track("t", map[string]any{"n": n})
		fmt.Fprintln(os.Stdout, n, time.Now().UnixMicro())
		if n == 0 { // on a busy machine the whole life might be shorter than one write
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			client.Flush(ctx)
			cancel()
			end = time.Now().Add(time.Duration(after) * time.Millisecond)
		}
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintln(os.Stdout, "end", time.Now().UnixMicro())
	os.Exit(3)
}

// TestAProgramThatEndsByExit has no hook to run in: what was not in the store yet is lost, at most
// the window, and it shows as a gap between the numbers that were reserved and those that came.
func TestAProgramThatEndsByExit(t *testing.T) {
	tracked, lost := 0, 0
	var worst time.Duration
	for round := 0; round < exitRounds; round++ {
		n, gone, window := exitOnce(t, 120+97*round)
		tracked, lost = tracked+n, lost+gone
		worst = max(worst, window)
	}
	t.Logf("%d programs ended by os.Exit: %d events tracked, %d lost, none twice, "+
		"the oldest lost one was %d ms old (store_flush_ms %d)",
		exitRounds, tracked, lost, worst.Milliseconds(), exitFlushMS)
}

func exitOnce(t *testing.T, after int) (tracked, lost int, oldest time.Duration) {
	g := fakegateway.Start()
	defer g.Close()
	dir := filepath.Join(t.TempDir(), "store")
	at, ended := runToExit(t, g.URL, dir, after)
	next := open1(t, g, func(o *Options) { o.StoreDir = dir })
	fin := waitForFin(t, g)
	next.Close(soon(t))

	// A batch whose reply the program did not live to read comes again under its id; a gateway takes
	// it once.
	batches := map[any]fakegateway.Batch{}
	for _, b := range g.Batches() {
		batches[b.Header["batch"]] = b
	}
	ids := map[int]any{}
	for _, b := range batches {
		for _, event := range b.Events {
			n := int(event["props"].(map[string]any)["n"].(float64))
			if other, twice := ids[n]; twice {
				t.Fatalf("event %d arrived as %v and as %v", n, event["id"], other)
			}
			ids[n] = event["id"]
		}
	}
	for n, when := range at {
		if _, here := ids[n]; here && lost > 0 {
			t.Fatalf("event %d arrived, but one before it was lost", n)
		} else if !here {
			lost++
			oldest = max(oldest, ended.Sub(when))
		}
	}
	if oldest > exitWindow {
		t.Errorf("an event that was %v old when the program ended is lost", oldest)
	}
	admitted, acked, reserved := fin["admitted"].(float64), fin["acked"].(float64), fin["reserved"].(float64)
	if int(admitted) != len(ids) || acked != admitted {
		t.Errorf("%d events arrived, the last report says admitted %v, acked %v", len(ids), admitted, acked)
	}
	if int(reserved-admitted) < lost || int(reserved) < len(at) {
		t.Errorf("%d events are lost, but only %v of %v numbers are missing", lost, reserved-admitted, reserved)
	}
	return len(at), lost, oldest
}

// runToExit answers when each event was tracked, and when the program ended.
func runToExit(t *testing.T, endpoint, dir string, after int) (at []time.Time, ended time.Time) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, program)
	command.Env = append(os.Environ(), "TIDEGATE_TEST_EXIT_STORE="+dir, "TIDEGATE_ENDPOINT="+endpoint,
		fmt.Sprintf("TIDEGATE_TEST_EXIT_MS=%d", after))
	out, err := command.Output()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		what, text, _ := strings.Cut(lines.Text(), " ")
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if what == "end" {
			return at, time.UnixMicro(micros)
		}
		at = append(at, time.UnixMicro(micros))
	}
	t.Fatal("the program did not say when it ended")
	return nil, ended
}

func waitForFin(t *testing.T, g *fakegateway.Gateway) map[string]any {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, b := range g.Batches() {
			report, _ := b.Header["report"].(map[string]any)
			if report["fin"] != nil {
				return report
			}
		}
	}
	t.Fatal("no last report came")
	return nil
}
