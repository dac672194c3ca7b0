package rules

import (
	"bytes"
	"encoding/json"
	"io"
)

// transcode writes a JSON text of somebody else's by our rules, its keys in their order.
func (w *writer) transcode(text []byte, depth int) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := w.token(decoder, depth); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return ErrInvalid
	}
	return nil
}

func (w *writer) token(decoder *json.Decoder, depth int) error {
	token, err := decoder.Token()
	if err != nil {
		return ErrInvalid
	}
	delim, opens := token.(json.Delim)
	if !opens {
		return w.value(token, depth)
	}
	if depth >= depthMax {
		return ErrInvalid
	}
	w.buf = append(w.buf, byte(delim))
	for n := 0; decoder.More(); n++ {
		if delim == '[' {
			if n > 0 {
				w.buf = append(w.buf, ',')
			}
		} else {
			name, err := decoder.Token()
			text, ok := name.(string)
			if err != nil || !ok {
				return ErrInvalid
			}
			if err := w.name(text, n); err != nil {
				return err
			}
		}
		if err := w.token(decoder, depth+1); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return ErrInvalid
	}
	if delim == '[' {
		w.buf = append(w.buf, ']')
	} else {
		w.buf = append(w.buf, '}')
	}
	return w.full()
}
