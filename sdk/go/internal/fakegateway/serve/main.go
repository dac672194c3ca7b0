// Command serve runs the small gateway until it is killed, and prints its URL.
package main

import (
	"fmt"

	"github.com/tidegate/tidegate/sdk/go/internal/fakegateway"
)

func main() {
	fmt.Println(fakegateway.Start().URL)
	select {}
}
