from realtime.relay.command import main

main()
