package rules

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func (w *writer) integer(n int64) {
	if n > IntegerMax || n < -IntegerMax {
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendInt(w.buf, n, 10)
		w.buf = append(w.buf, '"')
		return
	}
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

func (w *writer) unsigned(n uint64) {
	if n > IntegerMax {
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendUint(w.buf, n, 10)
		w.buf = append(w.buf, '"')
		return
	}
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

func (w *writer) bigInt(n *big.Int) {
	if n == nil {
		w.buf = append(w.buf, "null"...)
		return
	}
	if n.IsInt64() {
		w.integer(n.Int64())
		return
	}
	w.buf = append(w.buf, '"')
	w.buf = n.Append(w.buf, 10)
	w.buf = append(w.buf, '"')
}

// jsonNumber writes a number that came out of a JSON text.
func (w *writer) jsonNumber(n json.Number) error {
	text := string(n)
	if !strings.ContainsAny(text, ".eE") {
		var whole big.Int
		if _, ok := whole.SetString(text, 10); !ok {
			return ErrInvalid
		}
		w.bigInt(&whole)
		return w.full()
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return ErrInvalid
	}
	w.float(f, 64)
	return w.full()
}

// float writes the shortest text that reads back as the same number.
func (w *writer) float(f float64, bits int) { w.buf = AppendFloat(w.buf, f, bits) }

// AppendFloat appends a number, NaN and the infinities as null (R10).
func AppendFloat(buf []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(buf, "null"...)
	}
	if f == 0 {
		return append(buf, '0')
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(buf, f, 'f', -1, bits)
	}
	buf = strconv.AppendFloat(buf, f, 'e', -1, bits)
	if n := len(buf); n >= 4 && buf[n-4] == 'e' && buf[n-2] == '0' { // e-07 is e-7
		buf[n-2] = buf[n-1]
		buf = buf[:n-1]
	}
	return buf
}

func (w *writer) bytes(b []byte) {
	if base64.StdEncoding.EncodedLen(len(b)) > w.max {
		w.buf = append(w.buf, make([]byte, w.max+1)...) // full() says so
		return
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, base64.StdEncoding.EncodeToString(b)...)
	w.buf = append(w.buf, '"')
}

func (w *writer) time(t time.Time) {
	w.buf = append(w.buf, '"')
	w.buf = t.UTC().AppendFormat(w.buf, "2006-01-02T15:04:05.000Z")
	w.buf = append(w.buf, '"')
}

const hex = "0123456789abcdef"

// AppendString appends a JSON string with the fewest escapes; what is not UTF-8 becomes U+FFFD
// (R10). The three bytes of a lone surrogate become one.
func AppendString(buf []byte, text string) []byte {
	buf = append(buf, '"')
	from := 0
	for i := 0; i < len(text); {
		b := text[i]
		if b < utf8.RuneSelf {
			if b >= 0x20 && b != '"' && b != '\\' {
				i++
				continue
			}
			buf = append(buf, text[from:i]...)
			buf = appendEscape(buf, b)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			buf = append(buf, text[from:i]...)
			buf = append(buf, "\uFFFD"...)
			if surrogate(text[i:]) {
				size = 3
			}
			i += size
			from = i
			continue
		}
		i += size
	}
	buf = append(buf, text[from:]...)
	return append(buf, '"')
}

func surrogate(text string) bool {
	return len(text) >= 3 && text[0] == 0xED && text[1] >= 0xA0 && text[1] <= 0xBF && text[2]&0xC0 == 0x80
}

func appendEscape(buf []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(buf, '\\', b)
	case '\b':
		return append(buf, '\\', 'b')
	case '\t':
		return append(buf, '\\', 't')
	case '\n':
		return append(buf, '\\', 'n')
	case '\f':
		return append(buf, '\\', 'f')
	case '\r':
		return append(buf, '\\', 'r')
	}
	return append(buf, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
}
