package rules

import (
	"reflect"
	"strconv"
)

// ValidName says whether a text is [A-Za-z0-9_.:-]{1,128}: a type (R54) or an instance (R40).
func ValidName(text string) bool {
	if len(text) < 1 || len(text) > 128 {
		return false
	}
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		case b == '_', b == '.', b == ':', b == '-':
		default:
			return false
		}
	}
	return true
}

// Line is an event line in parts: what is known before its admission and where its seq and age go.
type Line struct {
	head string // {"id":"..."
	ts   string // ,"ts":...
	tail []byte // ,"type":...}
}

// NewLine writes the parts of an event line that do not change (R9). max limits the whole line.
func NewLine(id string, ts int64, kind string, weight float64, props any, max int) (Line, error) {
	if !ValidName(kind) {
		return Line{}, ErrInvalid
	}
	ts = min64(max64(ts, 0), IntegerMax)
	tail := make([]byte, 0, 96)
	tail = append(tail, `,"type":"`...)
	tail = append(tail, kind...)
	tail = append(tail, '"')
	if weight != 1 {
		tail = append(tail, `,"weight":`...)
		tail = AppendFloat(tail, weight, 64)
	}
	if !isNil(props) {
		before := len(tail)
		tail = append(tail, `,"props":`...)
		at := len(tail)
		written, err := AppendValue(tail, props, 1, max)
		if err != nil {
			return Line{}, err
		}
		switch text := written[at:]; {
		case text[0] == 'n': // a Marshaler that says null
			tail = written[:before]
		case text[0] != '{':
			return Line{}, ErrInvalid
		case len(text) == 2:
			tail = written[:before]
		default:
			tail = written
		}
	}
	tail = append(tail, '}')
	return Line{head: `{"id":"` + id + `"`, ts: `,"ts":` + strconv.FormatInt(ts, 10), tail: tail}, nil
}

func isNil(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Map, reflect.Pointer, reflect.Interface:
		return v.IsNil()
	}
	return false
}

// With gives the line its seq. ageAt is where an age would stand; the text has no newline (R60).
func (l Line) With(seq int64) (text []byte, ageAt int) {
	text = make([]byte, 0, l.Len(seq))
	text = append(text, l.head...)
	text = append(text, `,"seq":`...)
	text = strconv.AppendInt(text, seq, 10)
	text = append(text, l.ts...)
	ageAt = len(text)
	return append(text, l.tail...), ageAt
}

// Len is how many bytes the line has with a seq, without age and newline (R61, R70).
func (l Line) Len(seq int64) int {
	return len(l.head) + len(`,"seq":`) + digitsOf(seq) + len(l.ts) + len(l.tail)
}

func digitsOf(n int64) int {
	count := 1
	for ; n >= 10; n /= 10 {
		count++
	}
	return count
}

// AppendAged appends a line with its age, if that is over a second (R9), and no newline.
func AppendAged(buf, line []byte, ageAt int, ageMS int64) []byte {
	if ageMS <= 1000 {
		return append(buf, line...)
	}
	buf = append(buf, line[:ageAt]...)
	buf = append(buf, `,"age":`...)
	buf = strconv.AppendInt(buf, min64(ageMS, IntegerMax), 10)
	return append(buf, line[ageAt:]...)
}

// The closed lists of reasons (R102, R103), in the order of reports.
var (
	PreReasons = [...]string{"sampled", "rate_limited", "invalid", "too_large", "no_consent", "killed",
		"before_send", "callback_error", "refused_full", "closed"}
	PostReasons = [...]string{"queue_full", "store_full", "store_error", "expired", "retry_exhausted",
		"rejected_4xx", "rejected_413", "purged_kill", "shutdown_timeout", "unconfirmed"}
)

// Counts is a table of reasons and classes.
type Counts [10][3]int64

// Sum adds everything up.
func (c *Counts) Sum() int64 {
	var sum int64
	for _, row := range c {
		sum += row[0] + row[1] + row[2]
	}
	return sum
}

// Report is a ledger at one moment (R100).
type Report struct {
	N, Tracked, Admitted, Acked, Held int64
	Pre, Post                         Counts
	Fin                               bool
	Reserved                          int64
}

// Same says whether two reports tell the same, without N (R107).
func (r Report) Same(other Report) bool {
	r.N, other.N = 0, 0
	r.Fin, other.Fin, r.Reserved, other.Reserved = false, false, 0, 0
	return r == other
}

// AppendReport appends the text of a report.
func AppendReport(buf []byte, r *Report) []byte {
	member := func(name string, n int64) {
		buf = append(buf, '"')
		buf = append(buf, name...)
		buf = append(buf, `":`...)
		buf = strconv.AppendInt(buf, n, 10)
		buf = append(buf, ',')
	}
	buf = append(buf, '{')
	member("n", r.N)
	member("tracked", r.Tracked)
	member("admitted", r.Admitted)
	member("acked", r.Acked)
	member("held", r.Held)
	buf = append(buf, `"pre":`...)
	buf = appendRows(buf, &r.Pre, PreReasons[:])
	buf = append(buf, `,"post":`...)
	buf = appendRows(buf, &r.Post, PostReasons[:])
	if r.Fin {
		buf = append(buf, `,"reserved":`...)
		buf = strconv.AppendInt(buf, r.Reserved, 10)
		buf = append(buf, `,"fin":1`...)
	}
	return append(buf, '}')
}

func appendRows(buf []byte, counts *Counts, names []string) []byte {
	buf = append(buf, '[')
	first := true
	for i, name := range names {
		for class, count := range counts[i] {
			if count == 0 {
				continue
			}
			if !first {
				buf = append(buf, ',')
			}
			first = false
			buf = append(buf, `["`...)
			buf = append(buf, name...)
			buf = append(buf, `",`...)
			buf = strconv.AppendInt(buf, int64(class), 10)
			buf = append(buf, ',')
			buf = strconv.AppendInt(buf, count, 10)
			buf = append(buf, ']')
		}
	}
	return append(buf, ']')
}

// Header is the first line of a batch (R8).
type Header struct {
	Batch, SDK, Instance, Epoch string
	Class, Count                int
	// Config is the version in force, below 0 if there is none.
	Config int64
	// Context is the text of a JSON object, empty if there is none.
	Context []byte
	Report  Report
}

// AppendHeader appends the header line without its newline.
func AppendHeader(buf []byte, h *Header) []byte {
	buf = append(buf, `{"tidegate":1,"batch":"`...)
	buf = append(buf, h.Batch...)
	buf = append(buf, `","sdk":`...)
	buf = AppendString(buf, h.SDK)
	buf = append(buf, `,"instance":`...)
	buf = AppendString(buf, h.Instance)
	buf = append(buf, `,"epoch":"`...)
	buf = append(buf, h.Epoch...)
	buf = append(buf, `","class":`...)
	buf = strconv.AppendInt(buf, int64(h.Class), 10)
	buf = append(buf, `,"count":`...)
	buf = strconv.AppendInt(buf, int64(h.Count), 10)
	if h.Config >= 0 {
		buf = append(buf, `,"config":`...)
		buf = strconv.AppendInt(buf, h.Config, 10)
	}
	if len(h.Context) > 2 {
		buf = append(buf, `,"context":`...)
		buf = append(buf, h.Context...)
	}
	buf = append(buf, `,"report":`...)
	buf = AppendReport(buf, &h.Report)
	return append(buf, '}')
}
