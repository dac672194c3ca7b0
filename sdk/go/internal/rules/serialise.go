package rules

import (
	"encoding"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"time"
)

// Why a value cannot be written (R61).
var (
	ErrInvalid  = errors.New("invalid")
	ErrTooLarge = errors.New("too_large")
)

const (
	depthMax    = 64
	pointersMax = 256
)

// writer appends JSON text. It stops as soon as the text is certainly longer than max.
type writer struct {
	buf []byte
	max int
}

// AppendValue appends any Go value as JSON text (R10, R11). depth is how many containers are open
// around it; a text of more than max bytes in buf ends with ErrTooLarge. Nothing panics.
func AppendValue(buf []byte, value any, depth, max int) (out []byte, err error) {
	w := writer{buf: buf, max: max}
	defer func() {
		if recover() != nil { // a MarshalJSON of the caller's that throws
			out, err = buf, ErrInvalid
		}
	}()
	if err := w.value(value, depth); err != nil {
		return buf, err
	}
	return w.buf, nil
}

func (w *writer) full() error {
	if len(w.buf) > w.max {
		return ErrTooLarge
	}
	return nil
}

// value writes what needs no reflection.
func (w *writer) value(value any, depth int) error {
	switch v := value.(type) {
	case nil:
		w.buf = append(w.buf, "null"...)
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case string:
		w.buf = AppendString(w.buf, v)
	case int:
		w.integer(int64(v))
	case int64:
		w.integer(v)
	case float64:
		w.float(v, 64)
	case json.Number:
		return w.jsonNumber(v)
	case []byte:
		w.bytes(v)
	case time.Time:
		w.time(v)
	case *time.Time:
		if v == nil {
			w.buf = append(w.buf, "null"...)
		} else {
			w.time(*v)
		}
	case *big.Int:
		w.bigInt(v)
	case big.Int:
		w.bigInt(&v)
	case map[string]any:
		return w.object(v, depth)
	case []any:
		return w.array(len(v), depth, func(i int) error { return w.value(v[i], depth+1) })
	case url.URL:
		w.buf = AppendString(w.buf, v.String())
	case *url.URL:
		if v == nil {
			w.buf = append(w.buf, "null"...)
		} else {
			w.buf = AppendString(w.buf, v.String())
		}
	default:
		return w.reflected(reflect.ValueOf(value), depth, 0)
	}
	return w.full()
}

// reflected writes everything else. hops counts pointers that were followed since the last container,
// so that a pointer to itself ends.
func (w *writer) reflected(v reflect.Value, depth, hops int) error {
	if !v.IsValid() {
		w.buf = append(w.buf, "null"...)
		return nil
	}
	if hops > pointersMax {
		return ErrInvalid
	}
	nilable := v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface || v.Kind() == reflect.Map
	if nilable && v.IsNil() {
		w.buf = append(w.buf, "null"...)
		return w.full()
	}
	if v.CanInterface() {
		if done, err := w.own(v.Interface(), depth); done {
			return err
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		w.buf = strconv.AppendBool(w.buf, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.integer(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.unsigned(v.Uint())
	case reflect.Float32:
		w.float(v.Float(), 32)
	case reflect.Float64:
		w.float(v.Float(), 64)
	case reflect.String:
		w.buf = AppendString(w.buf, v.String())
	case reflect.Pointer, reflect.Interface:
		inner := v.Elem()
		if inner.CanInterface() && inner.Kind() != reflect.Pointer && inner.Kind() != reflect.Interface {
			return w.value(inner.Interface(), depth)
		}
		return w.reflected(inner, depth, hops+1)
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			w.bytes(v.Bytes())
			break
		}
		return w.array(v.Len(), depth, func(i int) error { return w.item(v.Index(i), depth+1) })
	case reflect.Map:
		return w.anyMap(v, depth)
	case reflect.Struct:
		return w.structure(v, depth)
	default: // chan, func, complex, unsafe pointers
		return ErrInvalid
	}
	return w.full()
}

// item writes an element, through the faster way if that is allowed.
func (w *writer) item(v reflect.Value, depth int) error {
	if v.IsValid() && v.CanInterface() {
		return w.value(v.Interface(), depth)
	}
	return w.reflected(v, depth, 0)
}

// own asks types that offer their own form (R11).
func (w *writer) own(value any, depth int) (bool, error) {
	switch v := value.(type) {
	case json.Marshaler:
		text, err := v.MarshalJSON()
		if err != nil {
			return true, ErrInvalid
		}
		if len(text) > w.max {
			return true, ErrTooLarge
		}
		return true, w.transcode(text, depth)
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return true, ErrInvalid
		}
		w.buf = AppendString(w.buf, string(text))
		return true, w.full()
	case error:
		w.buf = AppendString(w.buf, v.Error())
		return true, w.full()
	}
	return false, nil
}

func (w *writer) object(members map[string]any, depth int) error {
	if depth >= depthMax {
		return ErrInvalid
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sort.Strings(names)
	w.buf = append(w.buf, '{')
	for i, name := range names {
		if err := w.name(name, i); err != nil {
			return err
		}
		if err := w.value(members[name], depth+1); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, '}')
	return w.full()
}

func (w *writer) name(name string, i int) error {
	if i > 0 {
		w.buf = append(w.buf, ',')
	}
	w.buf = AppendString(w.buf, name)
	w.buf = append(w.buf, ':')
	return w.full()
}

func (w *writer) array(n, depth int, item func(int) error) error {
	if depth >= depthMax {
		return ErrInvalid
	}
	w.buf = append(w.buf, '[')
	for i := 0; i < n; i++ {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := item(i); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, ']')
	return w.full()
}

// anyMap writes maps of other types, their keys as plain text, sorted.
func (w *writer) anyMap(v reflect.Value, depth int) error {
	if depth >= depthMax {
		return ErrInvalid
	}
	type member struct {
		name  string
		value reflect.Value
	}
	members := make([]member, 0, v.Len())
	for walk := v.MapRange(); walk.Next(); {
		name, ok := keyText(walk.Key())
		if !ok {
			return ErrInvalid
		}
		members = append(members, member{name, walk.Value()})
	}
	sort.Slice(members, func(i, j int) bool { return members[i].name < members[j].name })
	w.buf = append(w.buf, '{')
	for i, m := range members {
		if err := w.name(m.name, i); err != nil {
			return err
		}
		if err := w.item(m.value, depth+1); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, '}')
	return w.full()
}

func keyText(key reflect.Value) (string, bool) {
	for key.Kind() == reflect.Interface && !key.IsNil() {
		key = key.Elem()
	}
	if key.CanInterface() {
		if own, ok := key.Interface().(encoding.TextMarshaler); ok && key.Kind() != reflect.String {
			text, err := own.MarshalText()
			return string(text), err == nil
		}
	}
	switch key.Kind() {
	case reflect.String:
		return key.String(), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(key.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(key.Uint(), 10), true
	case reflect.Bool:
		return strconv.FormatBool(key.Bool()), true
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(key.Float(), 'g', -1, 64), true
	}
	return "", false
}
