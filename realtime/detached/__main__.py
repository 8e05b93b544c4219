from realtime.detached.command import main

main()
