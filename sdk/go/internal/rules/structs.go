package rules

import (
	"reflect"
	"strings"
	"sync"
)

// field is a member of a struct, named as encoding/json names it.
type field struct {
	name      string
	index     []int
	omitEmpty bool
}

var fieldCache sync.Map // reflect.Type -> []field

func fieldsOf(t reflect.Type) []field {
	if known, ok := fieldCache.Load(t); ok {
		return known.([]field)
	}
	var out []field
	seen := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		name, rest, _ := strings.Cut(tag, ",")
		if tag == "-" || f.Anonymous && name == "" && embeds(f.Type) || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if !seen[name] {
			seen[name] = true
			out = append(out, field{name, f.Index, strings.Contains(rest, "omitempty")})
		}
	}
	fieldCache.Store(t, out)
	return out
}

func embeds(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

func (w *writer) structure(v reflect.Value, depth int) error {
	if depth >= depthMax {
		return ErrInvalid
	}
	w.buf = append(w.buf, '{')
	n := 0
	for _, f := range fieldsOf(v.Type()) {
		member, err := v.FieldByIndexErr(f.index)
		if err != nil || f.omitEmpty && empty(member) {
			continue // below an embedded pointer that is nil
		}
		if err := w.name(f.name, n); err != nil {
			return err
		}
		if err := w.item(member, depth+1); err != nil {
			return err
		}
		n++
	}
	w.buf = append(w.buf, '}')
	return w.full()
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
