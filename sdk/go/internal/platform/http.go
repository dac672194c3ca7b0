package platform

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// ReplyBytesMax is how much of a body is read; one byte more says that it was longer (R14).
const ReplyBytesMax = 65_536

// Transport sends requests with net/http. Redirects are not followed (R7), replies are not
// decompressed, and nothing is waited for here: deadlines come from the client's timers.
type Transport struct{ client *http.Client }

// NewTransport makes a transport with its own connections.
func NewTransport() *Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &Transport{client: &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			ForceAttemptHTTP2:   true,
			DisableCompression:  true,
			MaxIdleConns:        4,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do sends a request. Whatever goes wrong is a reply with status 0 (R22).
func (t *Transport) Do(ctx context.Context, r Request) Reply {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return Reply{}
	}
	for _, pair := range r.Header {
		request.Header.Set(pair[0], pair[1])
	}
	response, err := t.client.Do(request)
	if err != nil {
		return Reply{}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, ReplyBytesMax+1))
	if err != nil {
		return Reply{}
	}
	return Reply{
		Status:     response.StatusCode,
		Body:       text,
		RetryAfter: response.Header.Get("Retry-After"),
		ETag:       response.Header.Get("ETag"),
	}
}

// Close drops idle connections.
func (t *Transport) Close() { t.client.CloseIdleConnections() }
