"""Code snippets that connect an application, for official SDKs and curl, with this server's URL and the keys."""

from dataclasses import dataclass
from string import Template
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

# Placeholder for the server-side key if there is none that the user may see.
NO_SERVER_KEY = "SERVER_KEY"

# Address of the host machine inside an Android emulator.
EMULATOR_HOST_ALIAS = "10.0.2.2"
LOCAL_HOSTNAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Snippet:
    id: str
    name: str
    template: Template
    note: str = ""
    """Shown below the code."""
    needs_server_key: bool = False
    text: str = ""

    def rendered(self, url: str, key: str, server_key: str) -> "Snippet":
        text = self.template.substitute(url=url, android=_emulator_url(url), key=key, server_key=server_key)
        return Snippet(self.id, self.name, self.template, self.note, self.needs_server_key, text)


SNIPPETS = (
    Snippet(
        "javascript",
        "JavaScript",
        Template("""\
import flagsmith from "@flagsmith/flagsmith";

flagsmith.init({
  environmentID: "$key",
  api: "$url/api/v1/",
  eventSourceUrl: "$url/",
  realtime: true,
  onChange: () => {
    console.log(flagsmith.getAllFlags());
  },
});"""),
        note="For React Native the package is “@flagsmith/react-native”. Before version 11 this one was “flagsmith”.",
    ),
    Snippet(
        "kotlin",
        "Android (Kotlin)",
        Template("""\
val flagsmith = Flagsmith(
    environmentKey = "$key",
    baseUrl = "$android/api/v1/",
    eventSourceBaseUrl = "$android/",
    context = applicationContext,
    enableRealtimeUpdates = true,
)

flagsmith.getFeatureFlags { }
lifecycleScope.launch {
    flagsmith.flagUpdateFlow.collect { flags -> Log.i("flags", flags.toString()) }
}"""),
        note="An emulator reaches the machine that it runs on by 10.0.2.2.",
    ),
    Snippet(
        "swift",
        "iOS (Swift)",
        Template("""\
Flagsmith.shared.apiKey = "$key"
Flagsmith.shared.baseURL = URL(string: "$url/api/v1/")!
Flagsmith.shared.eventSourceBaseURL = URL(string: "$url/")!
Flagsmith.shared.enableRealtimeUpdates = true

for await flags in Flagsmith.shared.flagStream {
    print(flags)
}"""),
        note="In this order: the stream opens when real-time updates are enabled.",
    ),
    Snippet(
        "flutter",
        "Flutter",
        Template("""\
final flagsmith = FlagsmithClient(
  apiKey: '$key',
  config: const FlagsmithConfig(
    baseURI: '$url/api/v1/',
    realtimeUpdatesBaseURI: '$url/sse/environments/',
    enableRealtimeUpdates: true,
  ),
);
await flagsmith.initialize();
await flagsmith.getFeatureFlags();"""),
    ),
    Snippet(
        "python",
        "Python",
        Template("""\
from flagsmith import Flagsmith

flagsmith = Flagsmith(
    environment_key="$server_key",
    api_url="$url/api/v1/",
    realtime_api_url="$url/",
    enable_local_evaluation=True,
    enable_realtime_updates=True,
)

print(flagsmith.get_environment_flags().all_flags())"""),
        note="It evaluates by itself, so it takes a server-side key.",
        needs_server_key=True,
    ),
    Snippet(
        "ruby",
        "Ruby",
        Template("""\
require "flagsmith"

flagsmith = Flagsmith::Client.new(
  environment_key: "$server_key",
  api_url: "$url/api/v1/",
  realtime_api_url: "$url/",
  enable_local_evaluation: true,
  enable_realtime_updates: true
)

puts flagsmith.get_environment_flags.all_flags"""),
        note="It evaluates by itself, so it takes a server-side key. In the SDK as released, RealtimeClient#listen"
        " clears @running right after it has started its thread, which then ends before its first connection: remove"
        " that line.",
        needs_server_key=True,
    ),
    Snippet(
        "curl",
        "curl",
        Template("""\
curl -N "$url/sse/environments/$key/stream"
curl -H "X-Environment-Key: $key" "$url/api/v1/flags/\""""),
        note="The first line streams: change a flag, and it prints the event. The second reads the flags.",
    ),
)


def server_url(request: HttpRequest) -> str:
    """The URL at which applications reach this server: ``PUBLIC_URL``, or the URL of the browser's request if
    ``PUBLIC_URL`` is local."""
    if urlsplit(settings.PUBLIC_URL).hostname not in LOCAL_HOSTNAMES:
        return settings.PUBLIC_URL
    return request.build_absolute_uri("/").rstrip("/")


def _emulator_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname not in LOCAL_HOSTNAMES:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{EMULATOR_HOST_ALIAS}{port}").geturl()
