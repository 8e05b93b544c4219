import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Sends POSTs of a body to URLs, with a key, on one client as it is by default, and prints each answer's status. */
class Requests {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        String key = arguments[0];
        for (int i = 1; i + 1 < arguments.length; i += 2) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[i]))
                .header("Content-Type", "application/json")
                .header("X-Environment-Key", key)
                .header("X-API-Key", key)
                .POST(HttpRequest.BodyPublishers.ofString(arguments[i + 1]))
                .build();
            HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.version() + " " + response.body());
        }
    }
}
